"""Items as this client writes them.

An item is one row of its table, so it is one chunk of one step: the tensor of a leaf
[...] is [1, ...], and its column is squeezed. An official reader gets exactly the
shape of the table's signature, whether that begins with time or not, length 0
included. The chunk's key is the item's, and so is its episode.

Requests are put together from bytes rather than from messages: keys have their
highest bit set, which gives them a fixed length, so that all but the tensors is a
template with holes, filled for many items at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np

from greenroom.replay.columns import Values
from greenroom.replay.reverb_client import messages
from greenroom.replay.reverb_client.tensors import NUMBERS, compress, encode_shape
from greenroom.replay.signature import Signature
from greenroom.replay.tables import Table
from greenroom.specs import Array, ArraySpec

_HIGHEST_BIT = np.uint64(1 << 63)
_KEY = np.uint64(2**64 - 1)  # stands for any key in a template
_KEY_BYTES = 10
# A literal of so many bytes has a header of two bytes in snappy's format.
_MOST_STORED = 256


def random_keys(generator: np.random.Generator, count: int) -> Array:
    """Return ``count`` keys, uint64 [count], with 63 random bits each."""
    return generator.integers(2**63, size=count, dtype=np.uint64) | _HIGHEST_BIT


def encode_varints(numbers: Array) -> Array:
    """Return the varints of uint64 [K] as uint8 [K, 10]: of that length whatever they are."""
    shifts = np.arange(0, 7 * _KEY_BYTES, 7, dtype=np.uint64)
    groups = ((numbers[:, None] >> shifts) & np.uint64(0x7F)).astype(np.uint8)
    groups[:, :-1] |= 0x80
    return groups


@lru_cache(maxsize=4096)
def varint(number: int) -> bytes:
    """Return the shortest varint of a number that is not negative."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def field(number: int, content: bytes) -> bytes:
    """Return a field of bytes, or of an encoded message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


class ItemEncoder:
    """Turns items of one table into parts of an ``InsertRequest``."""

    def __init__(self, table: Table, signature: Signature) -> None:
        specs = signature.specs
        key = int(_KEY)
        chunk = messages.Chunk(
            chunk_key=key, sequence_range={"episode_id": key}, data_tensors_len=len(specs)
        )
        # The priority goes last, where its eight bytes are simple to find.
        item = messages.Item(key=key, table=table.name, flat_trajectory=trajectory(key, len(specs)))
        item = item.SerializeToString() + b"\x29" + bytes(8)
        self._chunks = _Template(chunk.SerializeToString())
        self._items = _Template(field(2, item))
        self._leaves = [_make_leaf(spec) for spec in specs]

    def encode(self, keys: Array, leaves: Sequence[Values], priorities: Array) -> list[bytes]:
        """Return each of K items, with its chunk, as the bytes of a request's fields.

        Args:
            keys: [K] uint64, from `random_keys`.
            leaves: from `Signature.flatten`.
            priorities: [K] float64, valid.
        """
        encoded_keys = encode_varints(keys)
        chunks = self._chunks.fill(encoded_keys)
        items = self._items.fill(encoded_keys, priorities)
        tensors = [leaf.encode(values) for leaf, values in zip(self._leaves, leaves, strict=True)]
        parts = []
        for chunk, item, *row in zip(chunks, items, *tensors, strict=True):
            size = sum(map(len, row))
            data = varint(size)
            before = b"\x0a" + varint(len(chunk) + 1 + len(data) + size) + chunk + b"\x2a" + data
            parts.append(b"".join((before, *row, item)))
        return parts


def trajectory(key: int, columns: int) -> bytes:
    """Return the encoded trajectory of an item that is one step of one chunk."""
    slices = [{"chunk_key": key, "length": 1, "index": index} for index in range(columns)]
    message = messages.Trajectory(
        columns=[{"chunk_slices": [one], "squeeze": True} for one in slices]
    )
    return bytes(message.SerializeToString())


class _Template:
    """A message that differs by its key, wherever that is in it, and by its last eight bytes."""

    def __init__(self, message: bytes) -> None:
        self._row = np.frombuffer(message, np.uint8)
        key = varint(int(_KEY))
        self._keys = [i for i in range(len(message)) if message.startswith(key, i)]

    def fill(self, keys: Array, last: Array | None = None) -> list[bytes]:
        """Return K messages with these keys, uint8 [K, 10], and ``last``, float64 [K]."""
        rows = np.tile(self._row, (len(keys), 1))
        for start in self._keys:
            rows[:, start : start + _KEY_BYTES] = keys
        if last is not None:
            rows[:, -8:] = _as_bytes(last)
        return _split(rows)


class _Leaf(Protocol):
    def encode(self, values: Values) -> list[bytes]:
        """Return the tensors of K values as fields of ``ChunkTensors``."""


def _make_leaf(spec: ArraySpec) -> _Leaf:
    if not spec.varies and _size(spec) <= _MOST_STORED:
        return _StoredLeaf(spec)
    return _CompressedLeaf(spec)


class _StoredLeaf:
    """So few bytes that compressing them saves nothing worth a call for each: one literal."""

    def __init__(self, spec: ArraySpec) -> None:
        self._size = _size(spec)
        literal = b""
        if self._size > 60:
            literal = bytes([60 << 2, self._size - 1])
        elif self._size:
            literal = bytes([(self._size - 1) << 2])
        content = varint(self._size) + literal + bytes(self._size)
        tensor = _describe(spec.dtype, spec.shape) + field(4, content)
        self._row = np.frombuffer(field(1, tensor), np.uint8)

    def encode(self, values: Values) -> list[bytes]:
        rows = np.tile(self._row, (len(values), 1))
        if self._size:
            rows[:, -self._size :] = _as_bytes(values)
        return _split(rows)


class _CompressedLeaf:
    def __init__(self, spec: ArraySpec) -> None:
        self._dtype = spec.dtype

    def encode(self, values: Values) -> list[bytes]:
        tensors = []
        for value in values:
            content = compress(np.ascontiguousarray(value)[None])
            before = _describe(self._dtype, value.shape) + b"\x22" + varint(len(content))
            size = varint(len(before) + len(content))
            tensors.append(b"".join((b"\x0a", size, before, content)))
        return tensors


@lru_cache(maxsize=4096)
def _describe(dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> bytes:
    """Return what stands before the content of a tensor [1, ...]."""
    return b"\x08" + varint(NUMBERS[dtype]) + field(2, encode_shape((1, *shape)))


def _size(spec: ArraySpec) -> int:
    return math.prod(length or 0 for length in spec.shape) * spec.dtype.itemsize


def _as_bytes(values: Array) -> Array:
    """Return values [K, ...] as uint8 [K, bytes of each]."""
    return np.ascontiguousarray(values).reshape(len(values), -1).view(np.uint8)


def _split(rows: Array) -> list[bytes]:
    """Return uint8 [K, N] as K strings of N bytes."""
    joined, size = rows.tobytes(), rows.shape[1]
    return [joined[start : start + size] for start in range(0, len(joined), size)]
