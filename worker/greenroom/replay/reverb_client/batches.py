"""A batch as it fills: arrays that the consumer gets, written to row by row."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from greenroom.replay.reverb_client.tensors import check_booleans, known
from greenroom.replay.samples import Samples
from greenroom.replay.signature import Signature
from greenroom.specs import Array, ArraySpec

FACTS: Final = np.dtype(
    [
        ("key", np.uint64),
        ("probability", np.float64),
        ("priority", np.float64),
        ("times_sampled", np.int64),
        ("table_size", np.int64),
    ]
)
"""What is known of a sample besides its data."""


class Batch:
    """Samples of one table on their way to a consumer.

        batch.reserve(2)
        batch.put(row=0, leaves=..., facts=...)     # and row 1
        batch.count = 2
        samples = batch.take(2)                     # the arrays are the consumer's from here on

    Attributes:
        leaves: of the signature.
        facts: rows of `FACTS`.
        count: how many rows are samples already.
    """

    def __init__(self, signature: Signature) -> None:
        self.leaves = [_make_leaf(spec) for spec in signature.specs]
        self.facts = FixedLeaf((), FACTS)
        self.count = 0
        self._signature = signature

    def reserve(self, capacity: int) -> None:
        """Make room for so many samples, those included that are here."""
        for leaf in (*self.leaves, self.facts):
            leaf.reserve(capacity, self.count)

    def take(self, count: int) -> Samples:
        """Return the first ``count`` samples, and keep the rest.

        Raises:
            ReplayDataError: a truth value among them is neither 0 nor 1; they are dropped.
        """
        total, self.count = self.count, self.count - count
        leaves = [leaf.take(count, total) for leaf in self.leaves]
        facts = self.facts.take(count, total)
        for leaf in leaves:
            check_booleans(leaf)
        return Samples(
            data=self._signature.unflatten(leaves),
            keys=facts["key"].copy(),
            probabilities=facts["probability"].copy(),
            priorities=facts["priority"].copy(),
            times_sampled=facts["times_sampled"].copy(),
            table_size=facts["table_size"].copy(),
        )


class FixedLeaf:
    """Values of one shape, in the array [capacity, ...] that a batch becomes.

    Attributes:
        rows: the array.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.rows = np.empty((0, *shape), dtype)

    def reserve(self, capacity: int, count: int) -> None:
        """Have room for ``capacity`` values, of which ``count`` are here."""
        if len(self.rows) != capacity:
            rows = np.empty((capacity, *self.rows.shape[1:]), self.rows.dtype)
            rows[:count] = self.rows[:count]
            self.rows = rows

    def put(self, row: int, value: Array) -> bool:
        """Copy a value in; False if it does not fit."""
        if value.dtype != self.rows.dtype or value.shape != self.rows.shape[1:]:
            return False
        self.rows[row] = value
        return True

    def take(self, count: int, total: int) -> Array:
        """Return the first ``count`` of ``total`` values, and keep the others."""
        rows = self.rows
        if count == len(rows):
            self.rows = rows[:0].copy()
            return rows
        self.rows = rows[count:total].copy()
        return rows[:count].copy()


class VaryingLeaf:
    """Values whose first dimension varies, apart from each other until they are padded."""

    def __init__(self, spec: ArraySpec) -> None:
        self._spec = spec
        self._values: list[Array] = []

    def reserve(self, capacity: int, count: int) -> None:
        """Forget all but the first ``count`` values: the next was of a sample left out."""
        del self._values[count:]

    def put(self, row: int, value: Array) -> bool:
        """Copy a value in; False if it does not fit."""
        spec = self._spec
        if not value.ndim or value.dtype != spec.dtype or value.shape[1:] != spec.shape[1:]:
            return False
        self._values[row:] = [value.copy()]
        return True

    def take(self, count: int, total: int) -> Array:
        """Return the first ``count`` of ``total`` values, padded, and keep the others."""
        values, self._values = self._values[:count], self._values[count:total]
        longest = max(map(len, values))
        rows = np.zeros((count, longest, *values[0].shape[1:]), self._spec.dtype)
        for row, value in zip(rows, values, strict=True):
            row[: len(value)] = value
        return rows


def _make_leaf(spec: ArraySpec) -> FixedLeaf | VaryingLeaf:
    if spec.varies:
        return VaryingLeaf(spec)
    return FixedLeaf(known(spec.shape), spec.dtype)
