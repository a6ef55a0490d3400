"""Protobuf's wire format, as far as it is put together and taken apart by hand here."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from greenroom.specs import Array

VARINT: Final = rb"[\x80-\xff]{0,8}+[\x00-\x7f]"
"""A pattern of a varint of a number below 2**63."""

KEY_BYTES: Final = 10
"""Length of the varint of a number that has its highest bit set."""

_SHIFTS = np.arange(0, 7 * KEY_BYTES, 7, dtype=np.uint64)


@lru_cache(maxsize=4096)
def varint(number: int) -> bytes:
    """Return the shortest varint of a number that is not negative."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


@lru_cache(maxsize=4096)
def read_varint(encoded: bytes) -> int:
    """Return the number of a whole varint."""
    number = 0
    for byte in reversed(encoded):
        number = number << 7 | byte & 0x7F
    return number


def field(number: int, content: bytes) -> bytes:
    """Return a field of bytes, or of an encoded message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def encode_keys(keys: Array) -> Array:
    """Return varints of uint64 [K] as uint8 [K, 10]: of that length whatever the keys are."""
    groups = ((keys[:, None] >> _SHIFTS) & np.uint64(0x7F)).astype(np.uint8)
    groups[:, :-1] |= 0x80
    return groups


def decode_keys(encoded: Array) -> Array:
    """Return the keys, uint64 [K], of varints uint8 [K, 10]."""
    groups = (encoded & 0x7F).astype(np.uint64) << _SHIFTS
    keys: Array = np.bitwise_or.reduce(groups, axis=1)
    return keys
