"""The evaluator: greedy episodes whenever the learner asks for an evaluation."""

from __future__ import annotations

import logging
from typing import Any

from greenroom.core import Variables
from greenroom.errors import LearnerUnavailable
from greenroom.roles.serving import RoleContext
from greenroom.training.assembly import assemble_builder, make_player
from greenroom.training.evaluations import EpisodePlayer
from greenroom.variables.messages import EvaluationOrder, EvaluationReport
from greenroom.variables.remote import LearnerClient
from greenroom_api import RLExperiment

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25
CALL_SECONDS = 60.0


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
    with LearnerClient(learner, context.token, timeout=CALL_SECONDS) as client:
        EvaluatorRole(make_player(experiment, builder), context, client).run()


class EvaluatorRole:
    """Asks for orders, plays, reports."""

    def __init__(self, player: EpisodePlayer, context: RoleContext, client: LearnerClient) -> None:
        self._player = player
        self._context = context
        self._client = client
        self._evaluations = 0
        self._last_return: float | None = None
        self._detail = "waiting for the learner"
        context.observe(self._status, self._figures)

    def run(self) -> None:
        """Go on until asked to stop."""
        while not self._context.stop:
            self._context.alive()
            try:
                order = self._client.next_evaluation()
                self._context.ready()
                if order.due:
                    self._evaluate(order)
                    continue
                self._detail = self._idle()
            except LearnerUnavailable as error:
                self._detail = str(error)
                self._context.ready(reason=f"waiting for the learner: {error}")
            self._context.stop.wait(POLL_SECONDS)

    def _evaluate(self, order: EvaluationOrder) -> None:
        variables = self._newest(order.version)
        if variables is None:
            self._context.stop.wait(POLL_SECONDS)
            return  # a learner that was started again; what it wants now is in its next order
        self._detail = f"playing, for step {order.environment_steps:,}"
        played = self._player.play(variables, order.environment_steps, self._interrupted)
        if played is None:
            return
        report = EvaluationReport(
            order.environment_steps, variables.version, played.returns, played.lengths
        )
        while not self._context.stop:
            try:
                self._client.report_evaluation(report)
                break
            except LearnerUnavailable as error:
                self._context.ready(reason=f"waiting for the learner: {error}")
                self._context.stop.wait(POLL_SECONDS)
        self._evaluations += 1
        self._last_return = played.episode_return
        logger.info(
            "step %s, version %s: return %.4g",
            order.environment_steps,
            variables.version,
            played.episode_return,
        )

    def _newest(self, version: int) -> Variables | None:
        """Return the newest variables; None if they are older than ``version``."""
        newest = self._client.get_variables(newer_than=-1)
        return newest if newest is not None and newest.version >= version else None

    def _interrupted(self) -> bool:
        self._context.alive()
        return bool(self._context.stop)

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
        return {"greenroom_evaluator_evaluations_total": self._evaluations}
