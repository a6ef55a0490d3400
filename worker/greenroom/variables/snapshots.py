"""Variables as bytes (safetensors), made once for each version, however many ask."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Final

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from greenroom.core import Variables

CHUNK_BYTES: Final = 1 << 20
"""Of one message: large enough that messages cost little, small enough to share a connection."""

DTYPES: Final = frozenset(
    {
        *(torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
        *(torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64),
        *(torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz),
    }
)
"""What both safetensors and torch have."""


class Snapshot:
    """One version of the variables, and its bytes as soon as somebody wants them.

    Safe to use from several threads: the first that asks makes the bytes, others wait for it.

    Raises:
        TypeError: a variable has a dtype that is not in `DTYPES`.
    """

    def __init__(self, variables: Variables) -> None:
        for name, tensor in variables.values.items():
            if tensor.dtype not in DTYPES:
                raise TypeError(
                    "A variable's dtype must be one that safetensors has. "
                    f"Got: {name} is {tensor.dtype}."
                )
        self.variables = variables
        self._lock = threading.Lock()
        self._chunks: Sequence[bytes] | None = None

    def chunks(self) -> Sequence[bytes]:
        """Return the bytes, in pieces of `CHUNK_BYTES`."""
        with self._lock:
            if self._chunks is None:
                view = memoryview(serialize(self.variables.values))
                starts = range(0, len(view), CHUNK_BYTES)
                self._chunks = [bytes(view[start : start + CHUNK_BYTES]) for start in starts]
            return self._chunks


def serialize(values: Mapping[str, Tensor]) -> bytes:
    """Return tensors on the CPU, of `DTYPES`, as safetensors."""
    contents: bytes = safetensors.torch.save({name: t.contiguous() for name, t in values.items()})
    return contents


def deserialize(contents: bytes) -> dict[str, Tensor]:
    """Return what `serialize` was given.

    Raises:
        ValueError: ``contents`` are none of its.
    """
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(contents)
    except (SafetensorError, KeyError) as error:  # a dtype that only newer versions know
        raise ValueError(f"Variables must be safetensors. Got: {error}.") from error
    return tensors
