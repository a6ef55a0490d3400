"""Which item comes next: the structures behind `Uniform`, `Fifo`, `Lifo` and `Prioritized`.

A table's sampler and remover share what they look things up in: `Selection` keeps
each structure once and in step with the table's items.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np

from greenroom.core import State
from greenroom.replay.slots import InsertionOrder, Slots
from greenroom.replay.sum_tree import SumTree
from greenroom.replay.tables import Fifo, Lifo, Prioritized, Selector, Table, Uniform
from greenroom.specs import Array


class Draw(Protocol):
    """How one selector chooses.

    Attributes:
        foresees_leaving: whether a draw of several already reckons with items that
            leave between them, having been sampled ``max_times_sampled`` times. If
            not, its slots hold up to the first that leaves.
    """

    foresees_leaving: ClassVar[bool]

    def __call__(self, count: int, generator: np.random.Generator) -> tuple[Array, Array]:
        """Return slots and their probabilities, at most ``count`` of each, in drawing order."""


class UniformDraw:
    """Any item."""

    foresees_leaving: ClassVar[bool] = False

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def __call__(self, count: int, generator: np.random.Generator) -> tuple[Array, Array]:
        return self._slots.draw(count, generator), np.full(count, 1.0 / len(self._slots))


class PrioritizedDraw:
    """In proportion to the weights p**exponent; any item if all of them are 0."""

    foresees_leaving: ClassVar[bool] = False

    def __init__(self, slots: Slots, weights: SumTree) -> None:
        self._weights = weights
        self._if_all_zero = UniformDraw(slots)

    def __call__(self, count: int, generator: np.random.Generator) -> tuple[Array, Array]:
        total = self._weights.total
        if total == 0.0:
            return self._if_all_zero(count, generator)
        slots = self._weights.find(generator.random(count) * total)
        return slots, self._weights.get(slots) / total


class OrderedDraw:
    """The oldest item or the newest, until it leaves; then the next one."""

    foresees_leaving: ClassVar[bool] = True

    def __init__(
        self, order: InsertionOrder, newest: bool, times_sampled: Array, max_times_sampled: int
    ) -> None:
        self._next = order.newest if newest else order.oldest
        self._times_sampled = times_sampled
        self._max_times_sampled = max_times_sampled

    def __call__(self, count: int, generator: np.random.Generator) -> tuple[Array, Array]:
        if self._max_times_sampled == 0:
            slots = self._next(1).repeat(count)
        else:
            slots = self._next(count)
            left = self._max_times_sampled - self._times_sampled[slots]
            slots = slots.repeat(left)[:count]
        return slots, np.ones(len(slots))


class Selection:
    """A table's sampler and remover, and what both look things up in.

    Attributes:
        slots: the occupied ones.
        order: their insertion order, where a selector needs it.
        sampler, remover: draw slots.
    """

    def __init__(self, table: Table, capacity: int, times_sampled: Array) -> None:
        self._capacity = capacity
        self._times_sampled = times_sampled
        self._max_times_sampled = table.max_times_sampled
        self._weights: dict[float, SumTree] = {}  # by priority exponent
        self.slots = Slots(capacity)
        self.order: InsertionOrder | None = None
        self.sampler = self._make_draw(table.sampler)
        self.remover = self._make_draw(table.remover)

    def _make_draw(self, selector: Selector) -> Draw:
        match selector:
            case Uniform():
                return UniformDraw(self.slots)
            case Prioritized(exponent):
                tree = self._weights.setdefault(exponent, SumTree(self._capacity))
                return PrioritizedDraw(self.slots, tree)
            case Fifo() | Lifo():
                self.order = self.order or InsertionOrder(self._capacity)
                newest = isinstance(selector, Lifo)
                return OrderedDraw(self.order, newest, self._times_sampled, self._max_times_sampled)

    def insert(self, priorities: Array) -> Array:
        """Occupy slots for new items [K] and return them."""
        slots = self.slots.occupy(len(priorities))
        if self.order is not None:
            self.order.add(slots)
        self.update(slots, priorities)
        return slots

    def replace_oldest(self, priorities: Array) -> Array:
        """Return the slots of the oldest items, made over to new items [K] or the first of them."""
        assert self.order is not None
        slots = self.order.oldest(len(priorities))
        self.order.remove(slots)
        self.order.add(slots)
        self.update(slots, priorities[: len(slots)])
        return slots

    def update(self, slots: Array, priorities: Array) -> None:
        for exponent, tree in self._weights.items():
            tree.set(slots, weigh(priorities, exponent))

    def delete(self, slots: Array) -> None:
        self.slots.release(slots)
        if self.order is not None:
            self.order.remove(slots)
        for tree in self._weights.values():
            tree.set(slots, 0.0)

    def state(self) -> State:
        """Return what cannot be told from the items; weights too, since powers may round
        differently on another machine.
        """
        slots = self.slots.occupied
        trees = self._weights.values()
        return {
            "slots": self.slots.state(),
            "weights": {str(i): tree.get(slots) for i, tree in enumerate(trees)},
        }

    def restore(self, state: State, keys: Array) -> None:
        """Take up what `state` returned, of items with these keys; nothing may be here yet."""
        self.slots.restore(state["slots"])
        slots = self.slots.occupied
        if self.order is not None:
            self.order.add(slots[np.argsort(keys)])
        for index, tree in enumerate(self._weights.values()):
            tree.set(slots, state["weights"][str(index)])


def weigh(priorities: Array, exponent: float) -> Array:
    """Return p**exponent, where a priority of 0 weighs 0 even with exponent 0."""
    if exponent == 0.0:
        return (priorities > 0.0).astype(np.float64)
    return np.power(priorities, exponent)
