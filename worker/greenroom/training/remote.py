"""A learner's view of actors and an evaluator in other processes."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from greenroom.acting.evaluation import Evaluation
from greenroom.core import Dataset, Replay, State
from greenroom.errors import GreenroomError, ReplayTimeout
from greenroom.learning.loop import LearningLoop
from greenroom.replay.tables import TableInfo
from greenroom.training.drivers import Bottleneck, Limits
from greenroom.training.evaluations import Evaluated
from greenroom.variables.service import LearnerService

logger = logging.getLogger(__name__)

# Copying variables takes a tenth of a millisecond and more; a small learner steps in two.
PUBLISH_SECONDS = 0.01
INFO_SECONDS = 1.0
WINDOW_SECONDS = 10.0
RETURNS = 100
# An actor reports every second; one that is silent for longer is not waited for.
SILENT_SECONDS = 5.0
STOP_SECONDS = 15.0
EVALUATOR_SECONDS = 600.0
POLL_SECONDS = 0.02

NO_REPLAY = (
    "the contents of replay are in the checkpoint of a run in one process and are not taken over: "
    "replay goes on with what its server holds"
)


class ReportedEpisodes:
    """What actors reported of their episodes (`greenroom.training.drivers.Episodes`)."""

    def __init__(self, service: LearnerService) -> None:
        self._service = service
        self.returns: deque[float] = deque(maxlen=RETURNS)

    @property
    def episodes(self) -> int:
        """Episodes that ended, in all actors."""
        return self._service.counts.counts.total.episodes

    def mean_return(self) -> float | None:
        """Return the mean return of the newest 100, None before the first episode ends."""
        self.returns.extend(self._service.take_returns())
        return sum(self.returns) / len(self.returns) if self.returns else None


class RemoteDriver:
    """Learns while batches come, and counts what actors report (`Driver`).

    Args:
        learning: the learner and its count, fed by a dataset over ``replay``.
        replay: whose limiter is reported.
        dataset: over the table that is learned from; closed with the driver.
        service: where actors report.
    """

    def __init__(
        self, learning: LearningLoop, replay: Replay, dataset: Dataset, service: LearnerService
    ) -> None:
        self._learning = learning
        self._replay = replay
        self._dataset = dataset
        self._service = service
        self._episodes = ReportedEpisodes(service)
        self._environment_steps = service.counts.counts.total.environment_steps
        self._info = _Info(replay, dataset.table)
        self._published = 0.0
        self._work = _Work()
        self._waiting_for: str | None = None

    @property
    def environment_steps(self) -> int:
        """Transitions that actors had reported when `advance` or `finish` returned."""
        return self._environment_steps

    @property
    def episodes(self) -> ReportedEpisodes:
        """What actors reported."""
        return self._episodes

    def advance(self, limits: Limits, interrupted: Callable[[], bool]) -> None:
        """Learn until a limit is reached or ``interrupted()``, which is asked at every step."""
        while not self._reached(limits) and not interrupted():
            try:
                self._learning.step()
                self._waiting_for = None
            except ReplayTimeout as held_back:
                self._waiting_for = str(held_back)
            now = time.monotonic()
            if now >= self._published + PUBLISH_SECONDS or self._waiting_for:
                self._learning.publish()
                self._published = now
        self._learning.publish()

    def _reached(self, limits: Limits) -> bool:
        self._environment_steps = self._service.counts.counts.total.environment_steps
        steps, learner_steps = limits.environment_steps, limits.learner_steps
        return (steps is not None and self._environment_steps >= steps) or (
            learner_steps is not None and self._learning.learner_steps >= learner_steps
        )

    def finish(self) -> None:
        """Have the actors leave, and wait for the last counts of those that still report."""
        self._service.stop_actors()
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            actors = self._service.actors().values()
            if all(actor.report.leaving or actor.seconds_ago > SILENT_SECONDS for actor in actors):
                break
            time.sleep(POLL_SECONDS)
        self._environment_steps = self._service.counts.counts.total.environment_steps

    def why_waiting(self) -> str | None:
        """Return why the last batch did not come, None if it did."""
        return self._waiting_for

    def replay_info(self) -> TableInfo | None:
        """Return the table's state, a second old at most while the server answers."""
        return self._info.newest

    def bottleneck(self) -> Bottleneck | None:
        """Return the side that was busier in the last seconds, and how much of them it was.

        The learner is busy when it does not wait for a batch, actors when the limiter does
        not hold them back.
        """
        self._work.add(self._now())
        return self._work.bottleneck()

    def _now(self) -> _Moment:
        total = self._service.counts.counts.total
        waited = self._learning.waiting_seconds
        return _Moment(time.monotonic(), waited, total.acting_seconds, total.waiting_seconds)

    def state(self) -> dict[str, State]:
        """Return the counts; experience is the replay server's to save."""
        return {
            "actor": {
                "environment_steps": self._environment_steps,
                "episodes": {
                    "episodes": self._episodes.episodes,
                    "returns": list(self._episodes.returns),
                },
            }
        }

    def restore(self, parts: Mapping[str, State], reported_steps: int) -> list[str]:
        """Take up the counts, unless actors have reported more since."""
        counted = parts["actor"]
        self._service.counts.raise_to(counted["environment_steps"], counted["episodes"]["episodes"])
        self._environment_steps = self._service.counts.counts.total.environment_steps
        self._episodes.returns.extend(counted["episodes"]["returns"])
        return [NO_REPLAY] if "replay" in parts else []

    def close(self) -> None:
        """Stop prefetching, and asking replay for its state."""
        self._info.close()
        self._dataset.close()


class _Info:
    """The state of a table, asked for in a thread: a server that is away holds nobody up."""

    def __init__(self, replay: Replay, table: str) -> None:
        self.newest: TableInfo | None = None
        self._replay = replay
        self._table = table
        self._closed = threading.Event()
        threading.Thread(target=self._run, name="replay-info", daemon=True).start()

    def close(self) -> None:
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self.newest = self._replay.info()[self._table]
            except GreenroomError as error:
                if not self._closed.is_set():
                    logger.debug("replay does not tell its state: %s", error)
            self._closed.wait(INFO_SECONDS)


class _Moment(NamedTuple):
    at: float
    learner_waited: float
    acted: float
    actors_waited: float


class _Work:
    """Who was busy in the last seconds."""

    def __init__(self) -> None:
        self._moments: deque[_Moment] = deque()

    def add(self, moment: _Moment) -> None:
        self._moments.append(moment)
        while moment.at - self._moments[0].at > WINDOW_SECONDS:
            self._moments.popleft()

    def bottleneck(self) -> Bottleneck | None:
        first, last = self._moments[0], self._moments[-1]
        seconds = last.at - first.at
        acted, held_back = last.acted - first.acted, last.actors_waited - first.actors_waited
        if seconds <= 0 or acted + held_back <= 0:
            return None
        learner = min(max(1.0 - (last.learner_waited - first.learner_waited) / seconds, 0.0), 1.0)
        actors = acted / (acted + held_back)
        return Bottleneck("learner", learner) if learner > actors else Bottleneck("actor", actors)


class RemoteEvaluations:
    """Evaluations that the evaluator's process plays (`Evaluations`)."""

    def __init__(self, service: LearnerService) -> None:
        self._evaluations = service.evaluations
        self._began = time.monotonic()

    def request(self, environment_steps: int, learner_steps: int) -> None:
        """Ask for an evaluation of variables of at least ``learner_steps``."""
        self._evaluations.request(environment_steps, learner_steps)

    def take(self, interrupted: Callable[[], bool], wait: float) -> list[Evaluated]:
        """Return what was reported since the last call, waiting ``wait`` seconds at most.

        Raises:
            GreenroomError: one is waited for, and no evaluator was heard of for 10 minutes.
        """
        deadline = time.monotonic() + wait
        while not (reports := self._evaluations.take_results()):
            if time.monotonic() >= deadline or interrupted():
                break
            self._check_evaluator()
            time.sleep(POLL_SECONDS)
        return [
            Evaluated(
                report.environment_steps, report.version, Evaluation(report.returns, report.lengths)
            )
            for report in reports
        ]

    def why_waiting(self) -> str:
        """Return what is known of the evaluator."""
        seconds = self._evaluations.seen_seconds_ago()
        if seconds is None:
            return "an evaluator: none has asked yet"
        return f"the evaluator, last heard of {seconds:.0f} s ago"

    def _check_evaluator(self) -> None:
        seconds = self._evaluations.seen_seconds_ago()
        silent = time.monotonic() - self._began if seconds is None else seconds
        if silent > EVALUATOR_SECONDS:
            raise GreenroomError(
                f"An evaluation needs an evaluator that reports within {EVALUATOR_SECONDS:g} s. "
                f"Got: none heard of for {silent:.0f} s."
            )
