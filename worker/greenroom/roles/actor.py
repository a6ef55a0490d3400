"""The actor: environments, the newest parameters, and a writer into replay."""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections.abc import Callable
from typing import Any

from greenroom.acting.actor import Actor
from greenroom.core import Writer
from greenroom.errors import GreenroomError, LearnerUnavailable, ReplayTimeout, ReplayUnavailable
from greenroom.replay.reverb_client import ReverbReplay
from greenroom.roles.reporting import Reports, Standing
from greenroom.roles.serving import RoleContext
from greenroom.training.assembly import assemble_actor, assemble_environment
from greenroom.training.drivers import ActingSide
from greenroom.variables.messages import ActorReport
from greenroom.variables.polling import PolledVariables
from greenroom.variables.remote import LearnerClient
from greenroom_api import RLExperiment

logger = logging.getLogger(__name__)

VARIABLES_SECONDS = 0.02
# Asking costs the learner a third of a millisecond, whether or not there is an answer.
MOST_REQUESTS_PER_SECOND = 100
# Each wait is this long at most, and then looks whether to stop.
WAIT_SECONDS = 0.2
FLUSH_SECONDS = 5.0
REST_SECONDS = 1.0
# How old the numbers in a report may be while nothing is waited for.
RENEWAL_SECONDS = 0.1
# Enough to keep the server's connection busy; acting runs ahead of the limiter by so much.
MAX_PENDING = 32


def run_actor(
    experiment: RLExperiment, context: RoleContext, *, name: str, replay: str, learner: str
) -> None:
    """Act until asked to stop.

    Args:
        experiment: what to act in, and as.
        context: the process: its stop request, endpoint and token.
        name: of this actor alone; its seeds follow from it.
        replay: HOST:PORT of the Reverb server.
        learner: HOST:PORT of the learner's service.

    Raises:
        ConfigurationError: the environment cannot be made, or the agent does not fit it.
        EnvironmentFault: an environment broke its contract.
    """
    with LearnerClient(learner, context.token, timeout=FLUSH_SECONDS) as client:
        role = ActorRole(experiment, context, name, client)
        if role.introduce():
            role.act(replay)


class ActorRole:
    """One incarnation of an actor."""

    def __init__(
        self, experiment: RLExperiment, context: RoleContext, name: str, client: LearnerClient
    ) -> None:
        self._experiment = experiment
        self._context = context
        self._name = name
        self._incarnation = uuid.uuid4().hex
        self._client = client
        self._actor: Actor | None = None
        self._variables: PolledVariables | None = None
        self._pending: Callable[[], int] = lambda: 0
        self._own_steps = 0
        self._acting_seconds = 0.0
        self._waiting_seconds = 0.0
        self._resting = False
        self._waiting_for: str | None = "the learner"
        self._reports = Reports(client, self._make_report())
        self._report_due = 0.0
        context.observe(self._status, self._figures)

    def introduce(self) -> Standing | None:
        """Wait for the learner to know this incarnation; None if asked to stop before."""
        while not self._context.stop:
            try:
                return self._reports.send()
            except LearnerUnavailable as error:
                self._wait_for(str(error))
                self._context.stop.wait(WAIT_SECONDS)
        return None

    def act(self, replay_address: str) -> None:
        """Make everything, act until asked to stop, and leave in order."""
        seeds = self._seeds()
        environment, builder = assemble_environment(self._experiment, seeds)
        spec = self._experiment.spec
        tables = builder.make_tables(spec.replay, spec.actors.environments_per_actor)
        replay = ReverbReplay(replay_address, tables)
        self._variables = PolledVariables(self._client, self._variables_period)
        try:
            writer = replay.writer()
            self._pending = lambda: writer.pending
            _, self._actor = assemble_actor(
                self._experiment, builder, writer, self._variables, seeds
            )
            if self._wait_for_variables():
                self._reports.start()
                try:
                    self._loop(ActingSide(environment, self._actor), self._actor, writer)
                finally:
                    self._leave(writer)
        finally:
            self._variables.close()
            replay.close()
            environment.close()

    def _variables_period(self) -> float:
        """Return how many seconds lie between two requests for parameters."""
        return max(VARIABLES_SECONDS, self._reports.actors / MOST_REQUESTS_PER_SECOND)

    def _seeds(self) -> str:
        """Return the name that seeds follow from.

        An actor that was started again, or goes on with a run, must not play the same
        episodes once more.
        """
        standing = self._reports.standing
        assert standing is not None, "the learner knows this incarnation"
        number, steps = standing.order.incarnation_number, standing.order.environment_steps
        return self._name if number == steps == 0 else f"{self._name}-{number}-{steps}"

    def _wait_for_variables(self) -> bool:
        assert self._variables is not None
        while not self._context.stop:
            try:
                self._variables.wait_first(WAIT_SECONDS)
            except LearnerUnavailable as error:
                self._wait_for(str(error))
            else:
                return True
        return False

    def _loop(self, acting: ActingSide, actor: Actor, writer: Writer) -> None:
        standing: Standing | None = None
        while not self._context.stop:
            self._context.alive()
            newest = self._reports.standing
            assert newest is not None
            if newest is not standing:
                standing = newest
                # Of the whole experiment, as exploration schedules count.
                actor.environment_steps = (
                    standing.order.environment_steps + self._own_steps - standing.counted
                )
            if standing.order.stop:
                self._rest()
                continue
            self._resting = False
            if self._own_steps >= standing.allowed:
                self._ask_for_more()
            elif writer.pending > MAX_PENDING:
                self._flush(writer)
            else:
                self._step(acting, actor)

    def _rest(self) -> None:
        """Wait for the end, or for a learner that wants more after all.

        One that was killed in the last moments of a run goes on from a checkpoint.
        """
        if not self._resting:
            logger.info("the learner needs no more experience")
        self._resting = True
        self._wait_for("the end: the learner needs no more experience")
        self._reports.put(self._make_report())
        self._reports.hurry(wait=0.0)
        self._context.stop.wait(REST_SECONDS)

    def _ask_for_more(self) -> None:
        self._wait_for("the learner to allow more environment steps")
        self._reports.put(self._make_report())
        self._reports.hurry(WAIT_SECONDS)
        if self._own_steps >= self._reports.allowed:
            self._context.stop.wait(WAIT_SECONDS)  # others hold what is left

    def _step(self, acting: ActingSide, actor: Actor) -> None:
        began = time.perf_counter()
        before = actor.environment_steps
        actor.update()
        acting.step()
        self._own_steps += actor.environment_steps - before
        ended = time.perf_counter()
        self._acting_seconds += ended - began
        if self._waiting_for is not None:
            self._waiting_for = None
            self._context.ready()
        if ended >= self._report_due:
            self._reports.put(self._make_report())
            self._report_due = ended + RENEWAL_SECONDS

    def _flush(self, writer: Writer) -> None:
        began = time.perf_counter()
        try:
            writer.flush(WAIT_SECONDS, MAX_PENDING // 2)
        except ReplayUnavailable as error:
            self._wait_for(str(error))
            return  # time without a server says nothing of who is the bottleneck
        except ReplayTimeout:
            if self._waiting_for is not None:
                self._wait_for("the rate limiter to admit more items")
        self._waiting_seconds += time.perf_counter() - began

    def _leave(self, writer: Writer) -> None:
        """Have what was written confirmed, if that is possible soon, and say what was lost."""
        self._reports.close()
        try:
            # What a training that is over did not take, it does not miss.
            writer.flush(0.0 if self._resting else FLUSH_SECONDS)
        except GreenroomError as error:
            level = logging.INFO if self._resting else logging.WARNING
            logger.log(level, "%d items are dropped unconfirmed: %s", writer.pending, error)
        if self._resting:
            return  # the last report was sent before, and the learner may have ended
        self._reports.put(self._make_report(leaving=True))
        try:
            self._reports.send()
        except GreenroomError as error:
            logger.warning("the last report did not arrive: %s", error)

    def _wait_for(self, what: str) -> None:
        self._waiting_for = what
        self._context.alive()
        self._context.ready(reason=f"waiting for {what}")

    def _make_report(self, leaving: bool = False) -> ActorReport:
        actor = self._actor
        return ActorReport(
            actor=self._name,
            incarnation=self._incarnation,
            environment_steps=self._own_steps,
            episodes=0 if actor is None else actor.episodes.episodes,
            recent_returns=() if actor is None else tuple(actor.episodes.returns),
            acting_seconds=self._acting_seconds,
            waiting_seconds=self._waiting_seconds,
            version=-1 if actor is None else actor.version,
            # Of an actor that rests, they may still be admitted, and it may come back.
            dropped_items=self._pending() if leaving else 0,
            leaving=leaving or self._resting,
        )

    def _status(self) -> dict[str, Any]:
        waiting = self._waiting_for
        return {
            "state": "acting" if waiting is None else "waiting",
            "detail": f"{self._own_steps:,} steps" if waiting is None else waiting,
            "incarnation": self._incarnation,
            "environmentSteps": self._own_steps,
            "episodes": 0 if self._actor is None else self._actor.episodes.episodes,
            "pendingItems": self._pending(),
            "actingSeconds": self._acting_seconds,
            "waitingSeconds": self._waiting_seconds,
        }

    def _figures(self) -> dict[str, float]:
        variables = self._variables
        return {
            "greenroom_actor_environment_steps_total": self._own_steps,
            "greenroom_actor_episodes_total": self._status()["episodes"],
            "greenroom_actor_variables_age_seconds": math.inf
            if variables is None
            else variables.age,
            "greenroom_actor_acting_seconds_total": self._acting_seconds,
            "greenroom_actor_waiting_seconds_total": self._waiting_seconds,
            "greenroom_actor_pending_items": self._pending(),
            "greenroom_actor_variables_version": -1 if variables is None else variables.version,
        }
