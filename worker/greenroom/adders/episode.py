"""Episodes: one item for each that is finished, as long as it was."""

from __future__ import annotations

import numpy as np

from greenroom.adders.arguments import constant_priorities, require_at_least
from greenroom.adders.records import RecordBuffer, record_signature
from greenroom.adders.steps import StepReader
from greenroom.core import State, Transitions, Writer
from greenroom.errors import EnvironmentFault
from greenroom.spaces import EnvironmentSpec
from greenroom.specs import Array, Tree

# Buffers begin small and double: `max_length` is a bound, seldom what is needed.
INITIAL_CAPACITY = 128


class EpisodeAdder:
    """Writes each episode whole, when it ends.

    The item of an episode of T steps is its T + 1 records in order of time, leaves
    [T + 1, ...]: T steps, and the final-observation record that a truncated episode
    bootstraps from (see `greenroom.adders.records` for the format)::

        records  0 1 2 ... T-1 F

    All its transitions are in it, each once; ``mask`` of a padded batch tells them
    from F and from padding. An episode of one step gives two records. What has not
    ended is not written; `reset` forgets it.

    An episode must end within ``max_length`` steps: it is held in memory until then.
    A longer one raises `EnvironmentFault` (not `ConfigurationError`, which is for
    what is found before anything has started), and never is an episode cut silently,
    since its last record would look like an end.

        adder = EpisodeAdder(replay.writer(), spec, 8, max_length=1_000)
        adder.add(transitions)

    Args:
        writer: where items go.
        spec: the environment's.
        num_envs: N.
        table: the table's name.
        max_length: steps of the longest episode, at least 1.
        extras: tree of `ArraySpec` of what the policy wants kept; () if nothing.
        priority: of every new item.

    Attributes:
        table: the table's name.
        max_items_per_step: N.

    Raises:
        ConfigurationError: an argument is out of its range.
    """

    def __init__(
        self,
        writer: Writer,
        spec: EnvironmentSpec,
        num_envs: int,
        *,
        table: str = "episodes",
        max_length: int,
        extras: Tree = (),
        priority: float = 1.0,
    ) -> None:
        require_at_least("num_envs", num_envs, 1)
        require_at_least("max_length", max_length, 1)
        self.table = table
        self.max_items_per_step = num_envs
        self._writer = writer
        self._max_length = max_length
        self._priorities = constant_priorities(priority, num_envs)
        self._reader = StepReader(spec, num_envs, extras)
        self._records = RecordBuffer(spec, num_envs, extras, min(INITIAL_CAPACITY, max_length + 1))

    @staticmethod
    def signature(spec: EnvironmentSpec, extras: Tree = ()) -> Tree:
        """Return the signature of the table that this adder fills; lengths vary."""
        return record_signature(spec, None, extras)

    def add(self, transitions: Transitions) -> None:
        """Take one vector step; write the episodes that it ends.

        Raises:
            SignatureError: the step does not fit the spec; nothing was taken.
            EnvironmentFault: an episode is longer than ``max_length``; nothing was taken.
        """
        step, rows = self._reader.read(transitions)
        if len(step.reward) == 0:
            return
        records = self._records
        longest = int(records.steps[rows].max()) + 1
        if longest > self._max_length:
            raise EnvironmentFault(
                f"An episode must end within max_length={self._max_length} steps, or it does "
                "not fit the adder: raise max_length, or limit the environment's time. "
                f"Got: step {longest} of an episode."
            )
        self._make_room(longest + 1)
        records.append(step, rows)
        ended = step.terminated | step.truncated
        if np.count_nonzero(ended):
            environments = records.append_final(step, rows, ended)
            self._write(environments)
            records.restart(environments)

    def _make_room(self, count: int) -> None:
        if count > self._records.capacity:
            self._records.grow(min(max(2 * self._records.capacity, count), self._max_length + 1))

    def _write(self, environments: Array) -> None:
        records = self._records
        episodes = [
            records.take(environments[k : k + 1], np.arange(count)[None])
            for k, count in enumerate(records.count[environments])
        ]
        items = records.tree(
            [[leaf[0] for leaf in leaves] for leaves in zip(*episodes, strict=True)]
        )
        self._writer.insert(self.table, items, self._priorities[: len(environments)])

    def reset(self, mask: Array) -> None:
        """Forget the episodes in progress of the environments in ``mask`` ([N] bool)."""
        self._records.restart(mask)

    def state(self) -> State:
        """Return the episodes in progress."""
        return self._records.state()

    def restore(self, state: State) -> None:
        """Take up what `state` returned.

        Raises:
            CheckpointMismatch: it is of another environment, N or ``max_length``.
        """
        self._make_room(state.get("used", 0))
        self._records.restore(state)
