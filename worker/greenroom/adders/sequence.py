"""Sequences: records in a row, a fixed number of them, one sequence every so many steps."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import numpy as np

from greenroom.adders.arguments import constant_priorities, require_at_least, restore_array
from greenroom.adders.records import RecordBuffer, record_signature
from greenroom.adders.steps import StepReader
from greenroom.core import State, Transitions, Writer
from greenroom.errors import CheckpointMismatch
from greenroom.spaces import EnvironmentSpec
from greenroom.specs import Array, Tree


class EndOfEpisode(enum.StrEnum):
    """What becomes of a sequence that an episode's end interrupts; see `SequenceAdder`."""

    WRITE = "write"
    CONTINUE = "continue"
    ZERO_PAD = "zero_pad"
    TRUNCATE = "truncate"


class SequenceAdder:
    """Writes ``length`` records in a row as one item, beginning every ``period`` records.

    Records, among them the final-observation record F that closes each episode, are
    described in `greenroom.adders.records`. The transition of step t is record t with
    the observation of the record after it, so that a sequence of L records holds up
    to L - 1 transitions: those whose record, not the last, has mask 1. Leaves are
    [L, ...], time first.

    Sequences begin at records 0, period, 2 period, ... of the episode (continue: of the
    environment's whole stream) and are written as soon as their last record is known.
    A period of L - 1 gives every transition once; a smaller one lets sequences overlap,
    by L - 1 - period transitions; a larger one leaves transitions out.

    What happens at an episode's end, with length 4 and period 3, for an episode of
    five steps (records 0 to 4 and F) and then one of a single step (0' and F')::

        stream    0 1 2 3 4 F 0' F'

        WRITE     0 1 2 3                 the last sequence is moved back until it is full,
                      2 3 4 F             and so overlaps more with the one before
                              0' F' - -   an episode that is too short is padded

        CONTINUE  0 1 2 3                 sequences run on into the next episode
                        3 4 F 0'          F's mask of 0 is the border
                              0' F'       waits for the episode after that

        ZERO_PAD  0 1 2 3
                        3 4 F -           the last sequence is padded with zero records
                              0' F' - -

        TRUNCATE  0 1 2 3
                        3 4 F             the last sequence is shorter: lengths vary, and
                              0' F'       leaves are [None, ...] in the signature

    (``-`` padding: all zeros, mask 0, as F is but for its observation. The record
    before tells them apart: F, and only F, follows ``terminated | truncated``.)

    Edge cases:

    - *Truncated* episodes bootstrap from F's observation, which is the true final one;
      after a *terminated* one its value is 0.
    - No transition joins two episodes. Under CONTINUE a sequence does hold records of
      several; a recurrent learner resets its state where ``first`` is set.
    - A sequence that would hold no transition but those already written is left out:
      if an episode ends exactly with a sequence, WRITE writes nothing more.
    - WRITE, ZERO_PAD and TRUNCATE with a period up to L - 1 give every transition of a
      finished episode at least once, ZERO_PAD and TRUNCATE with period L - 1 exactly
      once. CONTINUE gives the newest ones only when their sequence is full.
    - Rows that are not ``valid`` (Gymnasium's NEXT_STEP reset steps) are no records.

        adder = SequenceAdder(
            replay.writer(), spec, 8, length=20, period=19, end_of_episode=EndOfEpisode.CONTINUE
        )
        adder.add(transitions)

    The behaviours and their names are Acme's (Hoffman et al. 2020), whose sequences
    have no final-observation record.

    Args:
        writer: where items go.
        spec: the environment's.
        num_envs: N.
        table: the table's name.
        length: L, at least 2: one record holds no transition.
        period: records from the beginning of one sequence to that of the next, at least 1.
        end_of_episode: see above.
        extras: tree of `ArraySpec` of what the policy wants kept; () if nothing.
        start: names of those of ``extras``, then a dict, that a sequence keeps of its
            first record only: a recurrent state. They are the item's ``start``.
        priority: of every new item.

    Attributes:
        table: the table's name.
        max_items_per_step: N or 2 N: a step that ends an episode adds two records, and
            each may complete a sequence.

    Raises:
        ConfigurationError: an argument is out of its range.
    """

    # Shapes: N environments, M of them with a step, K items, L length. A sequence is an
    # environment, the record `start` of its stream, and the record `end` after its last.

    def __init__(
        self,
        writer: Writer,
        spec: EnvironmentSpec,
        num_envs: int,
        *,
        table: str = "sequences",
        length: int,
        period: int,
        end_of_episode: EndOfEpisode,
        extras: Tree = (),
        start: Sequence[str] = (),
        priority: float = 1.0,
    ) -> None:
        require_at_least("num_envs", num_envs, 1)
        require_at_least("length", length, 2)
        require_at_least("period", period, 1)
        self.table = table
        self.max_items_per_step = num_envs * _most_items(length, period, end_of_episode)
        self._writer = writer
        self._length = length
        self._period = period
        self._end_of_episode = end_of_episode
        self._priorities = constant_priorities(priority, self.max_items_per_step)
        self._reader = StepReader(spec, num_envs, extras)
        # One more than a sequence: an episode's last step adds two records, and the
        # sequence that ends with the first of them is read after both.
        self._records = RecordBuffer(spec, num_envs, extras, length + 1, start)
        self._offsets = np.arange(length)
        self._due = np.full(num_envs, length)  # [N]: end of the next regular sequence
        # [N]: the first record whose transition no sequence holds yet.
        self._unwritten = np.zeros(num_envs, np.int64)

    @staticmethod
    def signature(
        spec: EnvironmentSpec,
        length: int,
        end_of_episode: EndOfEpisode,
        extras: Tree = (),
        start: Sequence[str] = (),
    ) -> Tree:
        """Return the signature of the table that this adder fills."""
        varies = end_of_episode is EndOfEpisode.TRUNCATE
        return record_signature(spec, None if varies else length, extras, start)

    def add(self, transitions: Transitions) -> None:
        """Take one vector step; write the sequences that it completes.

        Raises:
            SignatureError: the step does not fit the spec; nothing was taken.
        """
        step, rows = self._reader.read(transitions)
        if len(step.reward) == 0:
            return
        records = self._records
        records.append(step, rows)
        sequences = []
        due = records.count[rows] == self._due[rows]
        if np.count_nonzero(due):
            sequences.append(self._take_due(records.environments[rows][due]))
        ended = step.terminated | step.truncated
        if np.count_nonzero(ended):
            environments = records.append_final(step, rows, ended)
            if self._end_of_episode is EndOfEpisode.CONTINUE:
                due = records.count[environments] == self._due[environments]
                sequences.append(self._take_due(environments[due]))
            else:
                sequences.append(self._take_last(environments))
                self._restart(environments)
        if sequences:
            self._write(*(np.concatenate(parts) for parts in zip(*sequences, strict=True)))

    def _take_due(self, environments: Array) -> tuple[Array, Array, Array]:
        """Return environments, starts and ends of the regular sequences that are now full."""
        end = self._records.count[environments]
        # The newest transition ends at the newest record, unless that one is an episode's
        # first: then its predecessor is a final-observation record and begins none.
        newest = end - 2 - (self._records.steps[environments] == 1)
        sequences = self._new_ones(environments, end - self._length, end, newest)
        self._due[environments] += self._period
        return sequences

    def _take_last(self, environments: Array) -> tuple[Array, Array, Array]:
        """Return environments, starts and ends of the last sequences of ended episodes."""
        end = self._records.count[environments]
        if self._end_of_episode is EndOfEpisode.WRITE:
            start = np.maximum(end - self._length, 0)
        else:
            start = self._due[environments] - self._length
        return self._new_ones(environments, start, end, end - 2)

    def _new_ones(
        self, environments: Array, start: Array, end: Array, newest: Array
    ) -> tuple[Array, Array, Array]:
        """Keep the sequences that hold a transition which none before them held.

        Transitions come in order, so that it is enough to ask of the newest one, whose
        record is ``newest``.
        """
        new = newest >= np.maximum(start, self._unwritten[environments])
        self._unwritten[environments] = end - 1
        return environments[new], start[new], end[new]

    def _write(self, environments: Array, start: Array, end: Array) -> None:
        count = len(environments)
        if count == 0:
            return
        leaves = self._records.take(environments, start[:, None] + self._offsets)
        lengths = end - start
        in_time = self._records.in_time
        if self._end_of_episode is EndOfEpisode.TRUNCATE:
            items = self._records.tree(
                [
                    [row[:length] for row, length in zip(leaf, lengths, strict=True)]
                    if cut
                    else leaf
                    for leaf, cut in zip(leaves, in_time, strict=True)
                ]
            )
        else:
            if lengths.min() < self._length:
                padding = self._offsets >= lengths[:, None]
                for leaf, padded in zip(leaves, in_time, strict=True):
                    if padded:
                        leaf[padding] = 0
            items = self._records.tree(leaves)
        self._writer.insert(self.table, items, self._priorities[:count])

    def _restart(self, selected: Array) -> None:
        self._records.restart(selected)
        self._due[selected] = self._length
        self._unwritten[selected] = 0

    def reset(self, mask: Array) -> None:
        """Forget the unfinished sequences of the environments in ``mask`` ([N] bool).

        Their next step begins an episode, and a sequence.
        """
        self._restart(mask)

    def state(self) -> State:
        """Return the records of unfinished sequences, and where sequences begin."""
        return {
            "length": self._length,
            "records": self._records.state(),
            "due": self._due.copy(),
            "unwritten": self._unwritten.copy(),
        }

    def restore(self, state: State) -> None:
        """Take up what `state` returned.

        Raises:
            CheckpointMismatch: it is of another environment, N or length.
        """
        if state.get("length") != self._length:
            raise CheckpointMismatch(
                f"An adder's saved sequences must have its length={self._length}. "
                f"Got: length={state.get('length')}."
            )
        self._records.restore(state.get("records", {}))
        restore_array(self._due, state, "due")
        restore_array(self._unwritten, state, "unwritten")


def _most_items(length: int, period: int, end_of_episode: EndOfEpisode) -> int:
    """Return how many sequences one step of one environment can complete.

    A step that ends an episode adds two records. A regular sequence may end with the
    first of them; the other then completes a sequence if that is one record later:
    regularly with period 1, by moving it back (WRITE), or by cutting it short
    (ZERO_PAD, TRUNCATE) where the next one has begun by the last step.
    """
    match end_of_episode:
        case EndOfEpisode.WRITE:
            twice = True
        case EndOfEpisode.CONTINUE:
            twice = period == 1
        case EndOfEpisode.ZERO_PAD | EndOfEpisode.TRUNCATE:
            twice = period < length
    return 2 if twice else 1
