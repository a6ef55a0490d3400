"""Explicit randomness: every part draws from a generator of its own.

A generator is derived from the experiment's seed and the part's name, so that
adding a part, or drawing more often in one, changes nobody else's numbers:

>>> derive_seed(0, "replay", "sampler") == derive_seed(0, "replay", "sampler")
True
>>> derive_seed(0, "replay", "sampler") == derive_seed(0, "actor", 0)
False
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def derive_seed(seed: int, *name: str | int) -> int:
    """Return the 63-bit seed of the part called ``name``.

    SHA-256 over an unambiguous encoding, so that it is the same on every
    platform and in every Python (``hash`` is not).
    """
    path = "\x00".join([str(seed), *(f"{type(part).__name__}:{part}" for part in name)])
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "little") >> 1


def numpy_generator(seed: int, *name: str | int) -> np.random.Generator:
    """Return the numpy generator of the part called ``name``."""
    return np.random.Generator(np.random.PCG64(derive_seed(seed, *name)))


def torch_generator(
    seed: int, *name: str | int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return the torch generator of the part called ``name``, living on ``device``."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *name))


@contextmanager
def torch_seeded(seed: int, *name: str | int) -> Iterator[None]:
    """Seed torch's global CPU generator inside the block, and put it back after it.

    ``torch.nn`` initialises parameters from the global generator and takes no other.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, *name))
        yield


def generator_state(generator: np.random.Generator) -> dict[str, Any]:
    """Return the state of a numpy generator as plain JSON values."""
    return dict(generator.bit_generator.state)


def restore_generator(generator: np.random.Generator, state: Mapping[str, Any]) -> None:
    """Put a numpy generator back into a state from `generator_state`."""
    generator.bit_generator.state = dict(state)
