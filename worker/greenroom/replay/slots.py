"""Slots: the rows in which a table keeps its items, and two ways to keep track of them.

Everything is numbers in numpy arrays; no item costs a Python object.
"""

from __future__ import annotations

import numpy as np

from greenroom.core import State
from greenroom.specs import Array


class Slots:
    """Which slots are occupied, arranged so that a random one is a random index away.

    A permutation of all slots, the occupied ones in front. A slot that is released
    changes places with the last occupied one, and is the next to be occupied again.
    """

    def __init__(self, capacity: int) -> None:
        self._slots = np.arange(capacity)
        self._positions = np.zeros(capacity, np.intp)  # of each slot in _slots
        self._size = 0
        self._most = 0  # slots beyond were never used and are in order

    def __len__(self) -> int:
        return self._size

    @property
    def occupied(self) -> Array:
        """[size]; a view, which the next change makes stale."""
        return self._slots[: self._size]

    def occupy(self, count: int) -> Array:
        """Return ``count`` slots that were free."""
        start, self._size = self._size, self._size + count
        self._most = max(self._most, self._size)
        slots = self._slots[start : self._size].copy()
        self._positions[slots] = np.arange(start, self._size)
        return slots

    def release(self, slots: Array) -> None:
        """Free distinct occupied slots."""
        end, self._size = self._size, self._size - len(slots)
        if len(slots) == 1:  # The same as below, at a fraction of the cost.
            slot, last = slots[0], self._slots[self._size]
            gap = self._positions[slot]
            self._slots[gap] = last
            self._positions[last] = gap
            self._slots[self._size] = slot
            return
        gaps = self._positions[slots]
        self._positions[slots] = -1
        tail = self._slots[self._size : end]
        movers = tail[self._positions[tail] >= 0]
        gaps = gaps[gaps < self._size]
        self._slots[gaps] = movers
        self._positions[movers] = gaps
        self._slots[self._size : end] = slots

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        """Return ``count`` occupied slots, each one equally likely every time."""
        return self._slots.take((generator.random(count) * self._size).astype(np.intp))

    def state(self) -> State:
        return {
            "occupied": self.occupied.copy(),
            "released": self._slots[self._size : self._most].copy(),
        }

    def restore(self, state: State) -> None:
        """Take up what `state` returned; nothing may be occupied yet."""
        used = np.concatenate([state["occupied"], state["released"]])
        self._slots[: len(used)] = used
        self._most = len(used)
        self.occupy(len(state["occupied"]))


class InsertionOrder:
    """Slots from the oldest item to the newest.

    A queue in an array twice the capacity: a removal leaves a gap (-1), and the
    gaps are squeezed out when the end of the array is reached, which is once in
    ``capacity`` inserts at most.
    """

    def __init__(self, capacity: int) -> None:
        self._queue = np.zeros(2 * capacity, np.intp)
        self._places = np.zeros(capacity, np.intp)  # of each slot in _queue
        self._head = 0
        self._tail = 0

    def add(self, slots: Array) -> None:
        if self._tail + len(slots) > len(self._queue):
            self._squeeze()
        start, self._tail = self._tail, self._tail + len(slots)
        self._queue[start : self._tail] = slots
        self._places[slots] = np.arange(start, self._tail)

    def remove(self, slots: Array) -> None:
        self._queue[self._places[slots]] = -1

    def oldest(self, count: int) -> Array:
        """Return the ``count`` oldest slots, oldest first; all of them if there are fewer."""
        span = count
        while True:
            window = self._queue[self._head : min(self._head + span, self._tail)]
            slots = window[window >= 0]
            if len(slots) >= count or self._head + span >= self._tail:
                break
            if not len(slots):  # Never look at leading gaps again.
                self._head += len(window)
            span *= 2
        return slots[:count]

    def newest(self, count: int) -> Array:
        """Return the ``count`` newest slots, newest first; all of them if there are fewer."""
        span = count
        while True:
            window = self._queue[max(self._tail - span, self._head) : self._tail]
            slots = window[window >= 0]
            if len(slots) >= count or self._tail - span <= self._head:
                break
            if not len(slots):
                self._tail -= len(window)
            span *= 2
        return slots[::-1][:count]

    def _squeeze(self) -> None:
        live = self._queue[self._head : self._tail]
        live = live[live >= 0]
        self._head, self._tail = 0, len(live)
        self._queue[: self._tail] = live
        self._places[live] = np.arange(self._tail)


def in_a_row(slots: Array) -> Array | slice:
    """Return slots that follow one another as a slice, which numpy assigns several times faster."""
    first, count = int(slots[0]), len(slots)
    if slots[-1] - first == count - 1 and (count < 3 or (slots[1:] > slots[:-1]).all()):
        return slice(first, first + count)
    return slots


def earlier_equals(slots: Array) -> Array:
    """Return for each element how many equal ones stand before it."""
    order = slots.argsort(kind="stable")
    ordered = slots[order]
    again = np.empty(len(slots), bool)
    again[:1] = False
    np.equal(ordered[1:], ordered[:-1], out=again[1:])
    earlier = np.zeros(len(slots), np.int64)
    if again.any():
        places = np.arange(len(slots))
        earlier[order] = places - np.maximum.accumulate(np.where(again, 0, places))
    return earlier
