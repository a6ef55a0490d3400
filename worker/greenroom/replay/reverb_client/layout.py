"""How this client lays out the items that it writes, and knows them again.

An item is one row of its table, so it is one chunk of one step: the tensor of a leaf
[...] is [1, ...], and its column is squeezed. An official reader gets exactly the
shape of the table's signature, whether that begins with time or not, length 0
included. The chunk's key is the item's, and so is its episode.

Leaves of few bytes are *stored*: one literal of snappy's format holds them, and their
tensors stand first in the chunk. Keys have their highest bit set. So everything before
the compressed leaves has a fixed length. It is a template with holes, filled for many
items at once (`greenroom.replay.reverb_client.items`), and a pattern by which sampled
items are recognised (`greenroom.replay.reverb_client.reading`), for which parsing each
message would cost more than everything else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np

from greenroom.replay.reverb_client import messages
from greenroom.replay.reverb_client.tensors import NUMBERS, encode_shape, known
from greenroom.replay.reverb_client.wire import VARINT, field, varint
from greenroom.specs import ArraySpec

ANY_KEY: Final = 2**64 - 1
"""Stands for all keys in a template."""

_MOST_STORED: Final = 512  # bytes; compressing more saves what the call costs


class ItemLayout:
    """The layout of one table's items.

    Attributes:
        stored: indices of the stored leaves, in the order of their tensors.
        compressed: indices of the others, whose tensors follow.
    """

    def __init__(self, table: str, specs: Sequence[ArraySpec]) -> None:
        self.stored = [index for index, spec in enumerate(specs) if _is_stored(spec)]
        self.compressed = [index for index, spec in enumerate(specs) if not _is_stored(spec)]
        self._table = table
        self._specs = specs
        places = {index: place for place, index in enumerate(self.stored + self.compressed)}
        self._trajectory = messages.Trajectory(
            columns=[
                {
                    "chunk_slices": [{"chunk_key": ANY_KEY, "length": 1, "index": places[index]}],
                    "squeeze": True,
                }
                for index in range(len(specs))
            ]
        ).SerializeToString()

    def item(self) -> bytes:
        """Return a template of an ``Item``; its last eight bytes are the priority."""
        item = messages.Item(key=ANY_KEY, table=self._table, flat_trajectory=self._trajectory)
        return bytes(item.SerializeToString()) + b"\x29" + bytes(8)

    def chunk(self) -> bytes:
        """Return a template of a ``Chunk`` up to its tensors; `chunk_end` comes after them."""
        chunk = messages.Chunk(chunk_key=ANY_KEY, sequence_range={"episode_id": ANY_KEY})
        return bytes(chunk.SerializeToString())

    def chunk_end(self) -> bytes:
        """Return what ends a ``Chunk``: how many tensors it has."""
        return bytes(messages.Chunk(data_tensors_len=len(self._specs)).SerializeToString())

    def stored_tensor(self, index: int) -> bytes:
        """Return a template of a stored leaf's tensor; its last bytes are the leaf's."""
        spec = self._specs[index]
        size = size_of(spec)
        content = varint(size) + _literal_tag(size) + bytes(size)
        return field(1, describe_tensor(spec.dtype, spec.shape) + field(4, content))

    def entry_pattern(self) -> re.Pattern[bytes]:
        """Return a pattern of such an item as it is sampled, up to its compressed leaves.

        It begins with an entry of a ``SampleResponse``. Groups: the entry's length, key,
        priority, times sampled, probability, table size, whether the limiter held it back,
        and each stored leaf's bytes. A number that is zero is not there.
        """
        key = rb"(?P=key)"
        table = re.escape(field(2, self._table.encode()))
        trajectory = re.escape(field(8, self._trajectory)).replace(varint(ANY_KEY), key)
        parts = [
            rb"\x0a(%b)\x0a%b\x0a%b" % (VARINT, VARINT, VARINT),  # an entry, its info, its item
            rb"\x08(?P<key>[\x80-\xff]{9}\x01)%b" % table,
            rb"(?:\x29(.{8}))?(?:\x30(%b))?" % VARINT,
            rb"(?:\x3a%b(?:\x08%b)?(?:\x10%b)?)?" % (VARINT, VARINT, VARINT),  # when inserted
            trajectory,
            rb"(?:\x11(.{8}))?(?:\x18(%b))?(?:\x20(\x01))?" % VARINT,
            rb"\x12%b\x08%b\x12\x0b\x08%b\x2a%b" % (VARINT, key, key, VARINT),  # its chunk
        ]
        for index in self.stored:
            size = size_of(self._specs[index])
            tensor = self.stored_tensor(index)
            parts.append(re.escape(tensor[: len(tensor) - size]) + b"(.{%d})" % size)
        return re.compile(b"".join(parts), re.DOTALL)

    def tensor_pattern(self, index: int) -> re.Pattern[bytes]:
        """Return a pattern of a compressed leaf's tensor; its group is the content's length."""
        spec = self._specs[index]
        before = re.escape(describe_tensor(spec.dtype, known(spec.shape)))
        return re.compile(rb"\x0a%b%b\x22(%b)" % (VARINT, before, VARINT), re.DOTALL)


@lru_cache(maxsize=4096)
def describe_tensor(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Return what stands before the content of a tensor [1, *shape]."""
    return b"\x08" + varint(NUMBERS[dtype]) + field(2, encode_shape((1, *shape)))


def size_of(spec: ArraySpec) -> int:
    """Return the bytes of a value of one shape."""
    return math.prod(known(spec.shape)) * spec.dtype.itemsize


def _is_stored(spec: ArraySpec) -> bool:
    return not spec.varies and size_of(spec) <= _MOST_STORED


def _literal_tag(size: int) -> bytes:
    """Return what stands before a literal of so many bytes in snappy's format."""
    if size == 0:
        return b""
    if size <= 60:
        return bytes([size - 1 << 2])
    return bytes([61 << 2]) + (size - 1).to_bytes(2, "little")
