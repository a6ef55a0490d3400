"""A batch as it fills, sample by sample, with what a server sends."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from greenroom.errors import ReplayDataError
from greenroom.replay.reverb_client.decoding import Chunks, read_columns
from greenroom.replay.reverb_client.items import trajectory
from greenroom.replay.reverb_client.tensors import (
    NUMBERS,
    check_booleans,
    decompress_into,
    encode_shape,
)
from greenroom.replay.samples import Samples
from greenroom.replay.signature import Signature, in_words
from greenroom.specs import Array, ArraySpec


class BatchBuffer:
    """Samples of one table on their way to a consumer.

        buffer.reserve(2)
        buffer.add(info, chunks)        # twice
        samples = buffer.take(2)        # the arrays are the consumer's from here on

    Leaves of one shape are unpacked straight into the arrays [B, ...] of the batch; those
    whose length varies are kept apart until it is known to what they are padded.

    Attributes:
        count: samples that are here.
    """

    def __init__(self, table: str, signature: Signature) -> None:
        self.count = 0
        self._table = table
        self._signature = signature
        self._leaves = [_make_leaf(spec) for spec in signature.specs]
        self._facts: list[tuple[int, float, float, int, int]] = []

    def reserve(self, capacity: int) -> None:
        """Make room for so many samples, those included that are here."""
        for leaf in self._leaves:
            leaf.reserve(capacity, self.count)

    def add(self, info: Any, chunks: Chunks) -> None:
        """Unpack a sample into room that was reserved.

        Raises:
            ReplayDataError: it cannot be read, or is not one of this table's signature; it
                is left out.
        """
        item = info.item
        try:
            if len(chunks) != 1 or not self._unpack_ours(item.flat_trajectory, chunks):
                self._unpack(item.flat_trajectory, chunks)
        except ReplayDataError as error:
            raise ReplayDataError(f"Table {self._table!r}, item {item.key}: {error}") from None
        self._facts.append(
            (item.key, info.probability, item.priority, item.times_sampled, info.table_size)
        )
        self.count += 1

    def take(self, count: int) -> Samples:
        """Return the first ``count`` samples as a batch, and keep the rest."""
        leaves = [leaf.take(count, self.count) for leaf in self._leaves]
        facts, self._facts = self._facts[:count], self._facts[count:]
        self.count -= count
        keys, probabilities, priorities, times_sampled, table_sizes = zip(*facts, strict=True)
        return Samples(
            data=self._signature.unflatten(leaves),
            keys=np.array(keys, np.uint64),
            probabilities=np.array(probabilities, np.float64),
            priorities=np.array(priorities, np.float64),
            times_sampled=np.array(times_sampled, np.int64),
            table_size=np.array(table_sizes, np.int64),
        )

    def _unpack_ours(self, encoded: bytes, chunks: Chunks) -> bool:
        """Unpack an item as `greenroom.replay.reverb_client.items` writes them, if it is one."""
        ((key, chunk),) = chunks.items()
        tensors = chunk.data.tensors
        if (
            encoded != trajectory(key, len(self._leaves))
            or len(tensors) != len(self._leaves)
            or chunk.delta_encoded
        ):
            return False
        return all(
            leaf.unpack(self.count, tensor)
            for leaf, tensor in zip(self._leaves, tensors, strict=True)
        )

    def _unpack(self, encoded: bytes, chunks: Chunks) -> None:
        columns = read_columns(encoded, chunks)
        paths = self._signature.paths
        if len(columns) != len(paths):
            raise ReplayDataError(
                f"An item must have {len(paths)} columns, {', '.join(paths)}. Got: {len(columns)}."
            )
        for path, leaf, column in zip(paths, self._leaves, columns, strict=True):
            if not leaf.put(self.count, column):
                raise ReplayDataError(
                    f"{path} must be {in_words(leaf.spec.dtype, leaf.spec.shape)}. "
                    f"Got: {in_words(column.dtype, column.shape)}."
                )


class _Leaf(Protocol):
    spec: ArraySpec

    def reserve(self, capacity: int, count: int) -> None:
        """Have room for ``capacity`` values, of which ``count`` are here."""

    def unpack(self, row: int, tensor: Any) -> bool:
        """Put the one step of a tensor in; False if it is to be read the long way."""

    def put(self, row: int, value: Array) -> bool:
        """Copy a value in; False if it does not fit the spec."""

    def take(self, count: int, total: int) -> Array:
        """Return the first ``count`` of ``total`` values, and keep the others."""


def _make_leaf(spec: ArraySpec) -> _Leaf:
    return _VaryingLeaf(spec) if spec.varies else _FixedLeaf(spec)


class _FixedLeaf:
    def __init__(self, spec: ArraySpec) -> None:
        self.spec = spec
        self._number = NUMBERS[spec.dtype]
        self._shape = encode_shape((1, *_known(spec.shape)))
        self._rows = np.empty((0, *_known(spec.shape)), spec.dtype)

    def reserve(self, capacity: int, count: int) -> None:
        if len(self._rows) != capacity:
            rows = np.empty((capacity, *self._rows.shape[1:]), self.spec.dtype)
            rows[:count] = self._rows[:count]
            self._rows = rows

    def unpack(self, row: int, tensor: Any) -> bool:
        if tensor.dtype != self._number or tensor.tensor_shape != self._shape:
            return False
        decompress_into(tensor.tensor_content, self._rows[row : row + 1])
        return True

    def put(self, row: int, value: Array) -> bool:
        if value.dtype != self.spec.dtype or value.shape != self._rows.shape[1:]:
            return False
        self._rows[row] = value
        return True

    def take(self, count: int, total: int) -> Array:
        rows = self._rows
        if count == len(rows):
            self._rows = rows[:0].copy()
        else:
            self._rows, rows = rows[count:total].copy(), rows[:count].copy()
        check_booleans(rows)
        return rows


class _VaryingLeaf:
    def __init__(self, spec: ArraySpec) -> None:
        self.spec = spec
        self._values: list[Array] = []

    def reserve(self, capacity: int, count: int) -> None:
        del self._values[count:]  # of a sample that was left out half unpacked

    def unpack(self, row: int, tensor: Any) -> bool:
        return False

    def put(self, row: int, value: Array) -> bool:
        wanted = self.spec
        if value.dtype != wanted.dtype or value.shape[1:] != wanted.shape[1:] or not value.ndim:
            return False
        self._values[row:] = [value]
        return True

    def take(self, count: int, total: int) -> Array:
        values, self._values = self._values[:count], self._values[count:total]
        longest = max(map(len, values))
        rows = np.zeros((count, longest, *_known(self.spec.shape[1:])), self.spec.dtype)
        for row, value in zip(rows, values, strict=True):
            row[: len(value)] = value
        return rows


def _known(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length is not None)
