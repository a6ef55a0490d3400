"""Acting and learning at the same time, in two threads; faster on two cores, not reproducible."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from greenroom.core import State
from greenroom.errors import ReplayTimeout
from greenroom.launch.assembly import WAIT_SECONDS, Parts
from greenroom.launch.drivers import ActingSide, Limits

# Copying variables for the actor costs a few per cent of a small learner step.
PUBLISH_PERIOD = 16


class OverlappedDriver:
    """Learns in a thread of its own while the calling thread acts.

    The rate limiter holds back whichever runs ahead, as it does between processes.
    The actor's parameters are up to 16 learner steps old.
    """

    def __init__(self, parts: Parts) -> None:
        self.acting_seconds = 0.0
        self.learning_seconds = 0.0
        self._parts = parts
        self._acting = ActingSide(parts)

    def advance(self, limits: Limits, interrupted: Callable[[], bool]) -> None:
        """Go on until a limit is reached or ``interrupted()``, which is asked at every step."""
        learner = _LearningThread(self._parts, limits)
        learner.start()
        try:
            self._act(limits, lambda: learner.stopped.is_set() or interrupted())
        finally:
            learner.stopped.set()
            learner.join()
            self.learning_seconds += learner.seconds
        if learner.error is not None:
            raise learner.error

    def _act(self, limits: Limits, interrupted: Callable[[], bool]) -> None:
        actor, writer = self._parts.actor, self._parts.writer
        limit = limits.environment_steps
        while not interrupted() and (limit is None or actor.environment_steps < limit):
            if writer.pending:
                try:
                    writer.flush(WAIT_SECONDS)
                except ReplayTimeout:
                    continue  # the learner is behind: look whether to stop, then wait on
            began = time.perf_counter()
            actor.update()
            self._acting.step()
            self.acting_seconds += time.perf_counter() - began

    def state(self) -> State:
        """Return what is acted on."""
        return {"acting_turn": True, **self._acting.state()}

    def restore(self, state: State) -> None:
        """Take up what `state` returned."""
        self._acting.restore(state)


class _LearningThread(threading.Thread):
    """Learns until ``stopped`` is set, which it does itself at its limit or on an error."""

    def __init__(self, parts: Parts, limits: Limits) -> None:
        super().__init__(name="learner")
        self.stopped = threading.Event()
        self.error: BaseException | None = None
        self.seconds = 0.0
        self._learning = parts.learning
        self._limit = limits.learner_steps

    def run(self) -> None:
        try:
            self._learn()
        except BaseException as error:
            self.error = error
        finally:
            self._learning.publish()
            self.stopped.set()

    def _learn(self) -> None:
        learning = self._learning
        while not self.stopped.is_set() and (
            self._limit is None or learning.learner_steps < self._limit
        ):
            began = time.perf_counter()
            try:
                learning.step()
            except ReplayTimeout:
                continue  # acting is behind
            self.seconds += time.perf_counter() - began
            if learning.learner_steps % PUBLISH_PERIOD == 0:
                learning.publish()
