"""What every replay asks of its callers' arguments, in the same words."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from greenroom.replay.tables import Prioritized, Table
from greenroom.specs import Array

T = TypeVar("T")


def find_table(tables: Mapping[str, T], name: str) -> T:
    """Return what stands for the table of this name.

    Raises:
        ValueError: there is no such table.
    """
    if name not in tables:
        raise ValueError(f"A table must be one of {sorted(tables)}. Got: {name!r}.")
    return tables[name]


def deadline_after(timeout: float) -> float:
    """Return the moment in ``timeout`` seconds, on the monotonic clock.

    Raises:
        ValueError: the timeout is negative or not finite; every wait ends.
    """
    if not 0.0 <= timeout < math.inf:
        raise ValueError(f"A timeout must be finite and not negative. Got: {timeout} seconds.")
    return time.monotonic() + timeout


def check_max_pending(max_pending: int) -> None:
    """Raise ValueError if a writer could never reach this."""
    if max_pending < 0:
        raise ValueError(f"max_pending must not be negative. Got: {max_pending}.")


def check_batch_size(batch_size: int) -> None:
    """Raise ValueError if no batch is so small."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1. Got: {batch_size}.")


def check_keys(keys: Array) -> None:
    """Raise ValueError if these are not keys uint64 [B]."""
    if not isinstance(keys, np.ndarray) or keys.dtype != np.uint64 or keys.ndim != 1:
        got = f"{keys.dtype}{list(keys.shape)}" if isinstance(keys, np.ndarray) else type(keys)
        raise ValueError(f"Keys must be an array uint64[B]. Got: {got}.")


def highest_priority(table: Table) -> float:
    """Return the priority up to which no sum of a full table's weights overflows."""
    largest = np.finfo(np.float64).max
    selectors = (table.sampler, table.remover)
    exponents = [one.exponent for one in selectors if isinstance(one, Prioritized)]
    # A newcomer joins a full table before another leaves.
    room = largest / 2 / (table.max_size + 1)
    with np.errstate(over="ignore"):
        return min([float(largest), *(float(np.power(room, 1 / e)) for e in exponents if e)])


def check_priorities(
    table: str, priorities: Array, highest: float, count: int | None = None
) -> Array:
    """Return priorities as float64.

    Raises:
        ValueError: one is negative, not finite or above ``highest``, or they are not ``count``.
    """
    checked = np.asarray(priorities, np.float64)
    if checked.ndim != 1 or (count is not None and len(checked) != count):
        wanted = "[K]" if count is None else f"[{count}], one for each item"
        raise ValueError(f"Priorities must be {wanted}. Got: shape {checked.shape}.")
    if len(checked) and not (checked.min() >= 0.0 and checked.max() <= highest):
        wrong = checked[~((checked >= 0.0) & (checked <= highest))]
        raise ValueError(
            f"Table {table!r}: priorities must be finite, not negative and at most "
            f"{highest:g}. Got: {wrong[:8].tolist()} among {len(checked)}."
        )
    return checked
