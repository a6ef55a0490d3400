"""What any Reverb writer may have put into an item, read back as one array for each column.

A column is a sequence of slices along time, each of a tensor of a chunk, joined; one
that is squeezed is a single step without its dimension of time. Servers check none of
it, so all of it is checked here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from greenroom.errors import ReplayDataError
from greenroom.replay.reverb_client import messages
from greenroom.replay.reverb_client.tensors import decode, parse
from greenroom.replay.signature import in_words
from greenroom.specs import Array

Chunks = Mapping[int, Any]
"""The chunks that came with a sample, by key."""


def read_columns(trajectory: bytes, chunks: Chunks) -> list[Array]:
    """Return the columns of an item; they may share memory with each other.

    Args:
        trajectory: an encoded ``Trajectory``.
        chunks: all that it refers to.

    Raises:
        ReplayDataError: a chunk is missing or corrupt, or a slice is outside of it.
    """
    tensors = _Tensors(chunks)
    columns = []
    for column in parse(messages.Trajectory, trajectory).columns:
        slices = [tensors.slice(one) for one in column.chunk_slices]
        if not slices:
            raise ReplayDataError("A column must have slices of chunks. Got: none.")
        joined = slices[0] if len(slices) == 1 else _join(slices)
        if column.squeeze:
            if len(joined) != 1:
                raise ReplayDataError(f"A squeezed column must be one step. Got: {len(joined)}.")
            joined = joined[0]
        columns.append(joined)
    return columns


class _Tensors:
    """Unpacks each tensor once, however many columns have slices of it."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self._unpacked: dict[tuple[int, int], Array] = {}

    def slice(self, one: Any) -> Array:
        tensor = self._tensor(one.chunk_key, one.index)
        if one.offset < 0 or one.length < 0 or one.offset + one.length > len(tensor):
            raise ReplayDataError(
                f"A slice must be inside its chunk of {len(tensor)} steps. "
                f"Got: {one.length} steps from {one.offset}."
            )
        return tensor[one.offset : one.offset + one.length]

    def _tensor(self, key: int, index: int) -> Array:
        if (key, index) not in self._unpacked:
            chunk = self._chunks.get(key)
            if chunk is None:
                raise ReplayDataError(
                    f"An item's chunks must come with it: {sorted(self._chunks)}. Got: {key}."
                )
            tensors = chunk.data.tensors
            if not 0 <= index < len(tensors):
                raise ReplayDataError(
                    f"A slice must be of one of its chunk's {len(tensors)} tensors. Got: {index}."
                )
            self._unpacked[key, index] = decode(tensors[index], chunk.delta_encoded)
        return self._unpacked[key, index]


def _join(slices: list[Array]) -> Array:
    first = slices[0]
    for other in slices[1:]:
        if other.dtype != first.dtype or other.shape[1:] != first.shape[1:]:
            raise ReplayDataError(
                f"The slices of a column must fit together, {in_words(first.dtype, first.shape)}. "
                f"Got: {in_words(other.dtype, other.shape)}."
            )
    return np.concatenate(slices)
