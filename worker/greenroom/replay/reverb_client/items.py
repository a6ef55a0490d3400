"""Items on their way to a server, many at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from greenroom.replay.columns import Values
from greenroom.replay.reverb_client.layout import ANY_KEY, ItemLayout, describe_tensor
from greenroom.replay.reverb_client.tensors import compress
from greenroom.replay.reverb_client.wire import KEY_BYTES, encode_keys, field, varint
from greenroom.specs import Array

_HIGHEST_BIT = np.uint64(1 << 63)


def random_keys(generator: np.random.Generator, count: int) -> Array:
    """Return ``count`` keys, uint64 [count], with 63 random bits each."""
    return generator.integers(2**63, size=count, dtype=np.uint64) | _HIGHEST_BIT


class ItemEncoder:
    """Turns items of one layout into parts of an ``InsertRequest``."""

    def __init__(self, layout: ItemLayout) -> None:
        self._layout = layout
        self._chunks = _Template([layout.chunk()])
        self._stored = _Template([layout.stored_tensor(index) for index in layout.stored])
        self._ends = _Template([layout.chunk_end() + field(2, layout.item())])

    def encode(self, keys: Array, leaves: Sequence[Values], priorities: Array) -> list[bytes]:
        """Return each of K items, with its chunk, as the bytes of a request's fields.

        Args:
            keys: [K] uint64, from `random_keys`; K is at least 1.
            leaves: from `Signature.flatten`.
            priorities: [K] float64, valid.
        """
        varints = encode_keys(keys)
        chunks = self._chunks.fill(varints, [None])
        stored = self._stored.fill(varints, [leaves[index] for index in self._layout.stored])
        compressed = [_compress(leaves[index]) for index in self._layout.compressed]
        ends = self._ends.fill(varints, [priorities])
        end = len(self._layout.chunk_end())
        parts = []
        for chunk, last, *tensors in zip(chunks, ends, stored, *compressed, strict=True):
            size = sum(map(len, tensors))
            length = len(chunk) + 1 + len(varint(size)) + size + end
            parts.append(
                b"".join((b"\x0a", varint(length), chunk, b"\x2a", varint(size), *tensors, last))
            )
        return parts


class _Template:
    """Messages in a row that differ by the key, wherever that is, and by their last bytes."""

    def __init__(self, messages: Sequence[bytes]) -> None:
        whole = b"".join(messages)
        key = varint(ANY_KEY)
        self._row = np.frombuffer(whole, np.uint8)
        self._keys = [i for i in range(len(whole)) if whole.startswith(key, i)]
        self._ends = np.cumsum([len(message) for message in messages], dtype=int).tolist()

    def fill(self, keys: Array, last: Sequence[Array | None]) -> list[bytes]:
        """Return K rows.

        Args:
            keys: [K, 10] uint8, varints.
            last: for each message, [K, ...], whose bytes are its last ones; or None.
        """
        rows = np.empty((len(keys), len(self._row)), np.uint8)
        rows[:] = self._row
        for start in self._keys:
            rows[:, start : start + KEY_BYTES] = keys
        for end, values in zip(self._ends, last, strict=True):
            if values is not None and values.size:
                flat = np.ascontiguousarray(values).reshape(len(values), -1).view(np.uint8)
                rows[:, end - flat.shape[1] : end] = flat
        joined, size = rows.tobytes(), len(self._row)
        return [joined[index * size : (index + 1) * size] for index in range(len(keys))]


def _compress(values: Values) -> list[bytes]:
    """Return tensors of K values as fields of ``ChunkTensors``."""
    tensors = []
    for value in values:
        content = compress(np.ascontiguousarray(value)[None])
        before = describe_tensor(value.dtype, value.shape) + b"\x22" + varint(len(content))
        length = varint(len(before) + len(content))
        tensors.append(b"".join((b"\x0a", length, before, content)))
    return tensors
