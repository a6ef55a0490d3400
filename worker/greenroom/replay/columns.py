"""One leaf of a table's items, in preallocated rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from greenroom.specs import Array, ArraySpec

Values: TypeAlias = Any
"""K values of a leaf: an array [K, ...], or a list of K arrays where lengths vary."""


class Column(Protocol):
    """Rows of one leaf, addressed by slot."""

    def put(self, slots: Array | slice, values: Values) -> None:
        """Copy values [K] into ``slots`` [K]."""

    def take(self, slots: Array) -> Values:
        """Return copies of what ``slots`` hold."""

    def clear(self, slots: Array) -> None:
        """Let go of memory that the slots hold beyond their rows."""

    def copy(self, values: Values) -> Values:
        """Return values that share no memory with the caller's."""

    def batch(self, parts: Sequence[Values]) -> Array:
        """Return one array [B, ...] of values taken in several parts."""

    def state(self, slots: Array) -> dict[str, Array]:
        """Return what ``slots`` hold, for a checkpoint."""

    def restore(self, slots: Array, state: Mapping[str, Array]) -> None:
        """Take up what `state` returned."""


def make_column(spec: ArraySpec, capacity: int) -> Column:
    """Return the column for leaves of this spec."""
    return VaryingColumn(spec, capacity) if spec.varies else FixedColumn(spec, capacity)


class FixedColumn:
    """Values of one shape: a single array [capacity, ...], which the system commits as it fills."""

    def __init__(self, spec: ArraySpec, capacity: int) -> None:
        self._rows = np.zeros((capacity, *_known(spec.shape)), spec.dtype)

    def put(self, slots: Array | slice, values: Values) -> None:
        self._rows[slots] = values

    def take(self, slots: Array) -> Values:
        return self._rows.take(slots, axis=0)

    def clear(self, slots: Array) -> None:
        pass

    def copy(self, values: Values) -> Values:
        return np.array(values)

    def batch(self, parts: Sequence[Values]) -> Array:
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def state(self, slots: Array) -> dict[str, Array]:
        return {"values": self.take(slots)}

    def restore(self, slots: Array, state: Mapping[str, Array]) -> None:
        self.put(slots, state["values"])


class VaryingColumn:
    """Values whose first dimension differs from item to item: an array for each."""

    def __init__(self, spec: ArraySpec, capacity: int) -> None:
        self._shape = _known(spec.shape[1:])
        self._dtype = spec.dtype
        self._rows = np.empty(capacity, object)

    def put(self, slots: Array | slice, values: Values) -> None:
        rows = np.empty(len(values), object)
        for index, value in enumerate(values):
            rows[index] = np.array(value)
        self._rows[slots] = rows

    def take(self, slots: Array) -> Values:
        # The arrays themselves: a row is replaced as a whole, its array never written to.
        return [self._rows[slot] for slot in slots.tolist()]

    def clear(self, slots: Array) -> None:
        self._rows[slots] = None

    def copy(self, values: Values) -> Values:
        return [np.array(value) for value in values]

    def batch(self, parts: Sequence[Values]) -> Array:
        values = [value for part in parts for value in part]
        longest = max(len(value) for value in values)
        padded = np.zeros((len(values), longest, *self._shape), self._dtype)
        for row, value in zip(padded, values, strict=True):
            row[: len(value)] = value
        return padded

    def state(self, slots: Array) -> dict[str, Array]:
        values = self.take(slots)
        empty = np.zeros((0, *self._shape), self._dtype)
        return {
            "values": np.concatenate([empty, *values]),
            "lengths": np.array([len(value) for value in values], np.int64),
        }

    def restore(self, slots: Array, state: Mapping[str, Array]) -> None:
        ends = np.cumsum(state["lengths"])[:-1]
        self.put(slots, np.split(state["values"], ends) if len(slots) else [])


def _known(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length is not None)
