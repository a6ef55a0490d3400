"""One table of embedded replay: its rows, its selectors and its limiter. Not thread-safe."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from greenroom.core import State
from greenroom.errors import CheckpointMismatch
from greenroom.randomness import generator_state, restore_generator
from greenroom.replay.arguments import check_priorities, highest_priority
from greenroom.replay.columns import Values, make_column
from greenroom.replay.limiter import Limiter
from greenroom.replay.samples import Samples
from greenroom.replay.selection import Selection
from greenroom.replay.signature import Signature
from greenroom.replay.slots import earlier_equals, in_a_row
from greenroom.replay.tables import Fifo, Table
from greenroom.specs import Array


class TableStore:
    """Items of one table in numbered slots.

    A key is the item's place among all inserts, from 1, shifted left past the bits
    of its slot. So keys are unique for the table's life, order items by age, and
    lead back to the slot without a dictionary; key 0 marks an empty slot.

    Attributes:
        table: the description.
        signature: flattens items into the leaves that `insert` takes.
        limiter: the counts, and what they admit.
    """

    def __init__(self, table: Table, generator: np.random.Generator) -> None:
        # As in Reverb, an item joins a full table before the remover chooses, and may be
        # the one that leaves: for a moment there is one more than max_size.
        capacity = table.max_size + 1
        self.table = table
        self.signature = Signature(table)
        self.limiter = Limiter(table.limiter)
        self._generator = generator
        self._columns = [make_column(spec, capacity) for spec in self.signature.specs]
        self._keys = np.zeros(capacity, np.uint64)
        self._priorities = np.zeros(capacity, np.float64)
        self._times_sampled = np.zeros(capacity, np.int64)
        self._highest_priority = highest_priority(table)
        self._selection = Selection(table, capacity, self._times_sampled)
        self._slot_bits = (capacity - 1).bit_length()

    def renewed(self) -> TableStore:
        """Return an empty store of the same table, with a generator of its own to be restored."""
        return TableStore(self.table, copy.deepcopy(self._generator))

    # --- inserting ---------------------------------------------------------------------

    def insert(self, leaves: Sequence[Values], priorities: Array) -> int:
        """Store the first of K items, as many as are admitted, and return how many that is.

        Args:
            leaves: from `Signature.flatten`.
            priorities: [K] float64, valid.
        """
        admitted = self.limiter.insertable(len(priorities))
        start = 0
        while start < admitted:
            slots = self._place(priorities[start:admitted])
            stop = start + len(slots)
            rows = in_a_row(slots)
            for column, leaf in zip(self._columns, leaves, strict=True):
                column.put(rows, leaf[start:stop])
            self._priorities[rows] = priorities[start:stop]
            self._times_sampled[rows] = 0
            first = self.limiter.inserts + 1
            self._keys[rows] = slots + (np.arange(first, first + len(slots)) << self._slot_bits)
            self.limiter.inserts += len(slots)
            if self.limiter.size > self.table.max_size:
                victim, _ = self._selection.remover(1, self._generator)
                self._delete(victim)
            start = stop
        return admitted

    def _place(self, priorities: Array) -> Array:
        """Return slots for the first of these items, as many as can be written at once."""
        room = self.table.max_size - self.limiter.size
        if room == 0 and isinstance(self.table.remover, Fifo):
            # The oldest leave, and none of these is new: no need to write before removing.
            slots = self._selection.replace_oldest(priorities)
            self.limiter.deletes += len(slots)
            return slots
        return self._selection.insert(priorities[: max(room, 1)])

    def copy_leaves(self, leaves: Sequence[Values]) -> list[Values]:
        """Return leaves that share no memory with the caller's."""
        return [column.copy(leaf) for column, leaf in zip(self._columns, leaves, strict=True)]

    def _delete(self, slots: Array) -> None:
        self._selection.delete(slots)
        for column in self._columns:
            column.clear(slots)
        self._keys[slots] = 0
        self.limiter.deletes += len(slots)

    # --- sampling ----------------------------------------------------------------------

    def sample(self, count: int) -> list[Samples]:
        """Draw up to ``count`` items, as many as are admitted.

        Returns:
            In several parts if items left in between; ``data`` is a list of leaves still.
        """
        parts = []
        while (admitted := self.limiter.samplable(count)) > 0:
            parts.append(self._draw(admitted))
            count -= len(parts[-1].keys)
        return parts

    def batch(self, parts: Sequence[Samples]) -> Samples:
        """Join parts from `sample` into one batch with a tree of arrays [B, ...]."""
        leaves = [
            column.batch([part.data[index] for part in parts])
            for index, column in enumerate(self._columns)
        ]
        data = self.signature.unflatten(leaves)
        if len(parts) == 1:
            return parts[0]._replace(data=data)
        return Samples(data, *map(np.concatenate, list(zip(*parts, strict=True))[1:]))

    def can_sample(self, count: int) -> bool:
        """Whether ``count`` samples in a row are admitted, whichever items they draw."""
        if self.limiter.samplable(count) < count:
            return False
        # Only an item that leaves between two of them can still hold the rest back.
        spare = self.limiter.size - self.table.limiter.min_size
        if self.table.max_times_sampled == 0 or count - 1 <= spare:
            return True
        return self._most_that_leave(count - 1) <= spare

    def _draw(self, count: int) -> Samples:
        """Draw ``count`` items, or those up to where the next draw depends on who left."""
        size = self.limiter.size
        slots, probabilities = self._selection.sampler(count, self._generator)
        times_sampled = self._times_sampled[slots] + 1 + earlier_equals(slots)
        table_sizes = np.full(len(slots), size)
        leaving = slots[:0]
        if self.table.max_times_sampled:
            leaves_now = times_sampled == self.table.max_times_sampled
            left_before = np.cumsum(leaves_now) - leaves_now
            if self._selection.sampler.foresees_leaving:
                taken = int((size - left_before >= self.table.limiter.min_size).sum())
            else:
                taken = int((left_before == 0).sum())
            slots, probabilities = slots[:taken], probabilities[:taken]
            times_sampled, leaves_now = times_sampled[:taken], leaves_now[:taken]
            table_sizes = (size - left_before)[:taken]
            leaving = slots[leaves_now]
        # Of equal slots the last assignment counts, which is the highest number.
        self._times_sampled[slots] = times_sampled
        samples = Samples(
            data=[column.take(slots) for column in self._columns],
            keys=self._keys[slots],
            probabilities=probabilities,
            priorities=self._priorities[slots],
            times_sampled=times_sampled,
            table_size=table_sizes,
        )
        self.limiter.samples += len(slots)
        if len(leaving):
            self._delete(leaving)
        return samples

    def _most_that_leave(self, samples: int) -> int:
        """Return how many items at most leave in so many samples."""
        sampler = self._selection.sampler
        slots = self._selection.slots.occupied
        if sampler.foresees_leaving:
            drawn, _ = sampler(samples, self._generator)
            slots = drawn[earlier_equals(drawn) == 0]
        left = self.table.max_times_sampled - self._times_sampled[slots]
        if not sampler.foresees_leaving:
            left.sort()
        return int((np.cumsum(left) <= samples).sum())

    # --- priorities --------------------------------------------------------------------

    def check_priorities(self, priorities: Array, count: int | None = None) -> Array:
        """Return priorities as float64.

        Raises:
            ValueError: one is negative or not finite, or they are not ``count``.
        """
        return check_priorities(self.table.name, priorities, self._highest_priority, count)

    def update_priorities(self, keys: Array, priorities: Array) -> None:
        """Set valid priorities [B] of the items with these keys [B], if they are still here."""
        slots = (keys & np.uint64((1 << self._slot_bits) - 1)).astype(np.intp)
        known = (self._keys.take(slots, mode="clip") == keys) & (keys != 0)
        slots, priorities = slots[known], priorities[known]
        if len(slots):
            self._priorities[slots] = priorities
            self._selection.update(slots, priorities)

    # --- checkpoints -------------------------------------------------------------------

    def state(self) -> State:
        """Return everything, with as many rows as there are items."""
        slots = self._selection.slots.occupied
        return {
            "table": self._description(),
            "inserts": self.limiter.inserts,
            "samples": self.limiter.samples,
            "deletes": self.limiter.deletes,
            "keys": self._keys[slots],
            "priorities": self._priorities[slots],
            "times_sampled": self._times_sampled[slots],
            "columns": {str(i): column.state(slots) for i, column in enumerate(self._columns)},
            "selection": self._selection.state(),
            "generator": generator_state(self._generator),
        }

    def restore(self, state: State) -> None:
        """Take up what `state` returned; the store must be new.

        Raises:
            CheckpointMismatch: it is another table's.
        """
        self._check_description(state["table"])
        self.limiter.inserts = state["inserts"]
        self.limiter.samples = state["samples"]
        self.limiter.deletes = state["deletes"]
        self._selection.restore(state["selection"], state["keys"])
        slots = self._selection.slots.occupied
        self._keys[slots] = state["keys"]
        self._priorities[slots] = state["priorities"]
        self._times_sampled[slots] = state["times_sampled"]
        for index, column in enumerate(self._columns):
            column.restore(slots, state["columns"][str(index)])
        restore_generator(self._generator, state["generator"])

    def _description(self) -> dict[str, Any]:
        table = self.table
        return {
            "sampler": repr(table.sampler),
            "remover": repr(table.remover),
            "limiter": repr(table.limiter),
            "max_size": table.max_size,
            "max_times_sampled": table.max_times_sampled,
            "signature": self.signature.describe(),
        }

    def _check_description(self, saved: Mapping[str, Any]) -> None:
        for name, here in self._description().items():
            if saved[name] != here:
                raise CheckpointMismatch(
                    f"A checkpoint of replay must have been written by the same tables. Got: table "
                    f"{self.table.name!r} with {name} {saved[name]} in the checkpoint, {here} here."
                )
