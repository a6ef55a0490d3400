"""Arrays as Reverb sends them: TensorFlow's dtype numbers, shapes, and snappy's raw format.

A chunk's tensor is its array's bytes in C order, compressed as one block without
framing. Dimension 0 of a chunk is time. The official legacy writer stores integers
of two dimensions and more as differences along time, which wrap around.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from cramjam import DecompressionError, snappy

from greenroom.errors import ReplayDataError
from greenroom.replay.reverb_client import messages
from greenroom.specs import Array

DTYPES: Final[dict[int, np.dtype[Any]]] = {
    number: np.dtype(name)
    for number, name in {
        1: "float32",
        2: "float64",
        3: "int32",
        4: "uint8",
        5: "int16",
        6: "int8",
        8: "complex64",
        9: "int64",
        10: "bool",
        17: "uint16",
        18: "complex128",
        19: "float16",
        22: "uint32",
        23: "uint64",
    }.items()
}
"""The numpy dtype of each number in TensorFlow's ``DataType``, where there is one."""

NUMBERS: Final = {dtype: number for number, dtype in DTYPES.items()}

# A copy of 64 bytes takes 3 in snappy: no block grows more than this when it is unpacked.
_MOST_GROWTH = 22


def compress(array: Array) -> bytes:
    """Return the bytes of a contiguous array of at least one dimension, compressed."""
    buffer: Any = array  # numpy 1 does not tell the type checker that it is one
    return bytes(snappy.compress_raw(buffer))


def decompress_into(content: bytes | memoryview, array: Array) -> None:
    """Fill a contiguous array of at least one dimension.

    Raises:
        ReplayDataError: the content is corrupt, or unpacks to more bytes or fewer.
    """
    buffer: Any = array
    try:
        size = snappy.decompress_raw_into(content, buffer) if content else 0
    except DecompressionError as error:
        raise ReplayDataError(f"A tensor must be intact. Got: {error}.") from None
    if size != array.nbytes:
        raise ReplayDataError(
            f"A tensor {array.dtype}{list(array.shape)} must hold {array.nbytes} bytes. "
            f"Got: {size}."
        )


def encode_shape(shape: tuple[int, ...]) -> bytes:
    """Return a shape as the bytes of its message."""
    return bytes(messages.TensorShape(dim=[{"size": n} for n in shape]).SerializeToString())


def decode_shape(encoded: bytes) -> tuple[int, ...]:
    """Return the shape of such bytes.

    Raises:
        ReplayDataError: they are none, or a length is unknown.
    """
    shape = parse(messages.TensorShape, encoded)
    lengths = tuple(dim.size for dim in shape.dim)
    if shape.unknown_rank or min(lengths, default=0) < 0:
        raise ReplayDataError(f"A tensor's shape must be known. Got: {shape}.")
    return lengths


def decode(tensor: Any, delta_encoded: bool) -> Array:
    """Return a chunk's tensor as an array of its own.

    Raises:
        ReplayDataError: its dtype is not supported, or its bytes are not its shape's.
    """
    dtype = DTYPES.get(tensor.dtype)
    if dtype is None:
        raise ReplayDataError(
            f"A tensor's dtype must be one of {sorted(DTYPES)}. Got: {tensor.dtype}."
        )
    shape = decode_shape(tensor.tensor_shape)
    if not shape:
        raise ReplayDataError("A chunk's tensor must have a dimension of time. Got: a scalar.")
    size = math.prod(shape) * dtype.itemsize
    if size > _MOST_GROWTH * len(tensor.tensor_content):  # before memory is asked for
        raise ReplayDataError(
            f"A tensor {dtype}{list(shape)} must hold {size} bytes. "
            f"Got: {len(tensor.tensor_content)} compressed ones, too few for that."
        )
    array = np.empty(shape, dtype)
    decompress_into(tensor.tensor_content, array)
    check_booleans(array)
    if delta_encoded and dtype.kind in "iu" and len(shape) > 1:
        unsigned = array.view(f"u{dtype.itemsize}")
        np.cumsum(unsigned, axis=0, dtype=unsigned.dtype, out=unsigned)
    return array


def check_booleans(array: Array) -> None:
    """Raise `ReplayDataError` if truth values hold anything but 0 and 1: numpy trusts them."""
    if array.dtype == np.bool_ and array.size and array.view(np.uint8).max() > 1:
        raise ReplayDataError(
            f"Truth values must be 0 or 1. Got: {array.view(np.uint8).max()} among them."
        )


def known(shape: Sequence[int | None]) -> tuple[int, ...]:
    """Return a shape that has no unknown length."""
    assert None not in shape
    return tuple(length for length in shape if length is not None)


def parse(message: Any, encoded: bytes) -> Any:
    """Return a message parsed.

    Raises:
        ReplayDataError: the bytes are no such message.
    """
    try:
        return message.FromString(encoded)
    except Exception as error:  # protobuf's DecodeError, and what it lets through
        raise ReplayDataError(
            f"{len(encoded)} bytes must be a {message.__name__}. Got: {error}."
        ) from None
