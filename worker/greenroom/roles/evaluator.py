"""The evaluator: greedy episodes whenever the learner asks for an evaluation."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import Any

from greenroom.errors import LearnerUnavailable
from greenroom.roles.serving import RoleContext
from greenroom.training.assembly import assemble_builder, make_player
from greenroom.training.evaluations import EpisodePlayer
from greenroom.variables.messages import EvaluationOrder, EvaluationReport
from greenroom.variables.remote import LearnerClient
from greenroom_api import RLExperiment

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25
CALL_SECONDS = 5.0
# A model may be large; but a learner that stands still must not outlast this role's grace.
TRANSFER_SECONDS = 20.0
# An evaluator that plays lets itself be heard of, and hears whether it is still wanted.
HEARTBEAT_SECONDS = 5.0


def run_evaluator(experiment: RLExperiment, context: RoleContext, *, learner: str) -> None:
    """Play what the learner orders, until asked to stop.

    Args:
        experiment: the environment, and how many episodes.
        context: the process: its stop request, endpoint and token.
        learner: HOST:PORT of the learner's service.

    Raises:
        ConfigurationError: the environment cannot be made, or the agent does not fit it.
    """
    _, builder = assemble_builder(experiment)
    player = make_player(experiment, builder)
    with (
        LearnerClient(learner, context.token, timeout=CALL_SECONDS) as client,
        LearnerClient(learner, context.token, timeout=TRANSFER_SECONDS) as variables,
    ):
        EvaluatorRole(player, context, client, variables).run()


class EvaluatorRole:
    """Asks for orders, plays, reports."""

    def __init__(
        self,
        player: EpisodePlayer,
        context: RoleContext,
        client: LearnerClient,
        variables: LearnerClient,
    ) -> None:
        self._player = player
        self._context = context
        self._client = client
        self._variables = variables
        self._evaluations = 0
        self._playing_seconds = 0.0
        self._last_return: float | None = None
        self._detail = "waiting for the learner"
        self._next_heartbeat = 0.0
        context.observe(self._status, self._figures)

    def run(self) -> None:
        """Go on until asked to stop."""
        while not self._context.stop:
            self._context.alive()
            try:
                order = self._client.next_evaluation()
                self._context.ready()
                self._detail = self._idle()
                if order.due and self._evaluate(order):
                    continue
            except LearnerUnavailable as error:
                self._wait_for(error)
            self._context.stop.wait(POLL_SECONDS)

    def _evaluate(self, order: EvaluationOrder) -> bool:
        """Play what is ordered; return False if that cannot be, or need not be, done now."""
        fetched = self._variables.fetch(newer_than=-1, learner="")
        if fetched is None or fetched.learner != order.learner:
            return False  # a learner that was started again gives other orders
        version, learner = fetched.variables.version, fetched.learner
        if version < order.version:
            return False
        self._detail = f"playing, for step {order.environment_steps:,}"
        self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
        began = time.monotonic()
        played = self._player.play(
            fetched.variables, order.environment_steps, lambda: self._interrupted(order)
        )
        self._playing_seconds += time.monotonic() - began
        if played is None:
            return False
        logger.info(
            "step %s, version %s: return %.4g",
            order.environment_steps,
            version,
            played.episode_return,
        )
        report = EvaluationReport(
            order.environment_steps, version, learner, played.returns, played.lengths
        )
        return self._deliver(report, played.episode_return)

    def _deliver(self, report: EvaluationReport, episode_return: float) -> bool:
        while not self._context.stop:
            self._context.alive()
            try:
                self._client.report_evaluation(report)
            except LearnerUnavailable as error:
                self._wait_for(error)
                self._context.stop.wait(POLL_SECONDS)
            else:
                self._evaluations += 1
                self._last_return = episode_return
                return True
        return False

    def _interrupted(self, order: EvaluationOrder) -> bool:
        """Whether to stop playing: asked to, or it is another learner by now."""
        self._context.alive()
        if time.monotonic() >= self._next_heartbeat:
            self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
            with contextlib.suppress(LearnerUnavailable):
                if self._client.next_evaluation().learner != order.learner:
                    return True
        return bool(self._context.stop)

    def _wait_for(self, error: LearnerUnavailable) -> None:
        self._detail = str(error)
        self._context.ready(reason=f"waiting for the learner: {error}")

    def _idle(self) -> str:
        if self._last_return is None:
            return "nothing to evaluate yet"
        return f"{self._evaluations} evaluations, the newest returned {self._last_return:.4g}"

    def _status(self) -> dict[str, Any]:
        return {
            "state": "running",
            "detail": self._detail,
            "evaluations": self._evaluations,
            "episodeReturn": self._last_return,
        }

    def _figures(self) -> dict[str, float]:
        figures = {
            "greenroom_evaluator_evaluations_total": self._evaluations,
            "greenroom_evaluator_playing_seconds_total": self._playing_seconds,
            "greenroom_evaluator_episode_return": self._last_return,
        }
        return {name: value for name, value in figures.items() if value is not None}
