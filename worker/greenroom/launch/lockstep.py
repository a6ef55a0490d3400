"""Acting and learning by turns, in one thread: a run with a seed is bit-for-bit reproducible."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from greenroom.core import LockstepReplay, State
from greenroom.errors import ConfigurationError
from greenroom.replay.tables import NO_LIMIT
from greenroom.training.assembly import Parts
from greenroom.training.drivers import ONLY_COUNTS, ActingSide, Limits, LocalDriver
from greenroom_api import RLExperiment


class LockstepDriver(LocalDriver):
    """Acts while one more vector step fits into the rate limiter's window, then learns.

    It learns while a whole batch fits; then it is acting's turn again, with the
    parameters learnt until then.

    Raises:
        ConfigurationError: the window is too small (or has no bound) for taking turns.
    """

    def __init__(self, experiment: RLExperiment, parts: Parts) -> None:
        check_window(
            parts.replay,
            parts.adder.table,
            parts.adder.max_items_per_step,
            parts.dataset.batch_size,
        )
        super().__init__(parts)
        self._acting = ActingSide(parts.environment, parts.actor)
        self._acting_turn = True

    def advance(self, limits: Limits, interrupted: Callable[[], bool]) -> None:
        """Go on until a limit is reached or ``interrupted()``, which is asked at every step."""
        while True:
            turn = self._act if self._acting_turn else self._learn
            began = time.perf_counter()
            finished = turn(limits, interrupted)
            elapsed = time.perf_counter() - began
            if self._acting_turn:
                self.acting_seconds += elapsed
            else:
                self.learning_seconds += elapsed
            if not finished:
                return
            self._acting_turn = not self._acting_turn

    def _act(self, limits: Limits, interrupted: Callable[[], bool]) -> bool:
        """Act until it is learning's turn (True) or time to stop (False)."""
        replay, actor = self._parts.replay, self._parts.actor
        table, items = self._parts.adder.table, self._parts.adder.max_items_per_step
        limit = limits.environment_steps
        actor.update()
        while True:
            # Before anything else: what is due at a count of steps must find the same
            # training there whether or not the run was interrupted on its way.
            if (limit is not None and actor.environment_steps >= limit) or interrupted():
                return False
            if not replay.can_insert(table, items):
                return True
            self._acting.step()

    def _learn(self, limits: Limits, interrupted: Callable[[], bool]) -> bool:
        """Learn until it is acting's turn (True) or time to stop (False)."""
        replay, learning = self._parts.replay, self._parts.learning
        table, batch_size = self._parts.dataset.table, self._parts.dataset.batch_size
        limit = limits.learner_steps
        finished = True
        while finished and replay.can_sample(table, batch_size):
            if interrupted() or (limit is not None and learning.learner_steps >= limit):
                finished = False
            else:
                learning.step()
        learning.publish()
        # Also where the turn ends at that very step: whoever asks between two steps of the next
        # turn, which is a matter of time, would end the run elsewhere.
        return finished and (limit is None or learning.learner_steps < limit)

    def state(self) -> dict[str, State]:
        """Return all parts, whose turn it is, and what is acted on."""
        return self._state({"acting_turn": self._acting_turn, **self._acting.state()})

    def restore(self, parts: Mapping[str, State], reported_steps: int) -> list[str]:
        """Take up what `state` returned."""
        if not self._restore(parts, reported_steps):
            return [ONLY_COUNTS]
        self._acting_turn = parts["driver"]["acting_turn"]
        self._acting.restore(parts["driver"])
        return []

    def close(self) -> None:
        """Nothing was started."""


def check_window(replay: LockstepReplay, table: str, items: int, batch_size: int) -> None:
    """Refuse a rate limiter under which neither side could ever take its turn.

    Acting needs room for all ``items`` that one vector step may write, learning a whole
    batch. Both stand still between the limits unless the window holds one step and one
    batch, and one item short of the minimum size unless a whole step fits there.
    """
    info = replay.info()[table]
    if info.max_diff >= NO_LIMIT:
        raise ConfigurationError(
            f"Taking turns needs a rate limiter that holds acting back. Got: table {table!r}, "
            "which always admits inserts."
        )
    samples = info.samples_per_insert
    window, needed = info.max_diff - info.min_diff, items * samples + batch_size
    if all(number.is_integer() for number in (samples, info.min_diff, info.max_diff)):
        needed -= 1  # diff moves in whole numbers, and cannot stand between two
    if window < needed:
        raise ConfigurationError(
            "Taking turns needs a rate limiter window (twice spec.replay.errorBuffer; a queue's "
            f"spec.replay.maxSize) of at least {items} items per step x {samples:g} samples per "
            f"insert + a batch of {batch_size}: {needed:g} samples. Got: {window:g}."
        )
    room, needed = info.max_diff - (info.min_size - 1) * samples, items * samples
    if room < needed:
        raise ConfigurationError(
            "Taking turns needs room for a whole step beside one item less than "
            f"spec.replay.minSize: {items} items per step x {samples:g} samples per insert = "
            f"{needed:g} samples. Got: {room:g}; raise spec.replay.errorBuffer."
        )
