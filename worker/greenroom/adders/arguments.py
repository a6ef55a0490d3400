"""Checks and small values that every adder's constructor needs."""

from __future__ import annotations

import math

import numpy as np

from greenroom.core import State
from greenroom.errors import CheckpointMismatch, ConfigurationError
from greenroom.specs import Array


def require_at_least(name: str, value: int, minimum: int) -> int:
    """Return ``value``.

    Raises:
        ConfigurationError: it is less than ``minimum``.
    """
    if value < minimum:
        raise ConfigurationError(f"{name} must be at least {minimum}. Got: {name}={value}.")
    return value


def constant_priorities(priority: float, most_items: int) -> Array:
    """Return ``most_items`` equal priorities to slice from; read-only, since writers share it.

    Raises:
        ConfigurationError: the priority is negative or not finite.
    """
    if not (math.isfinite(priority) and priority >= 0.0):
        raise ConfigurationError(
            f"priority must be finite and not negative. Got: priority={priority}."
        )
    priorities = np.full(most_items, priority, np.float64)
    priorities.setflags(write=False)
    return priorities


def without(array: Array, mask: Array) -> Array:
    """Return a copy that is zero where ``mask``, of the leading dimensions, holds."""
    copy = array.copy()
    copy[mask] = 0
    return copy


def restore_array(target: Array, state: State, name: str) -> None:
    """Copy the array ``name`` of a saved state into ``target``.

    Raises:
        CheckpointMismatch: it is missing, or has another shape or dtype.
    """
    saved = np.asarray(state.get(name))
    if saved.shape != target.shape or saved.dtype != target.dtype:
        raise CheckpointMismatch(
            f"An adder's saved {name!r} must be {target.dtype}{list(target.shape)}, as its "
            "environments and lengths make it. "
            f"Got: {f'{saved.dtype}{list(saved.shape)}' if name in state else 'nothing'}."
        )
    target[...] = saved
