"""What a sampler returns; apart from `greenroom.core` so that replay clients need no torch."""

from __future__ import annotations

from typing import NamedTuple

from greenroom.specs import Array, Tree


class Samples(NamedTuple):
    """B sampled items.

    Attributes:
        data: tree of arrays [B, ...]; lengths that vary are padded with zeros to
            the longest of the batch.
        keys: [B] uint64.
        probabilities: [B] float64, of each item when it was drawn.
        priorities: [B] float64, as stored, when it was drawn.
        times_sampled: [B] int64, this time included.
        table_size: [B] int64, items in the table when it was drawn.
    """

    data: Tree
    keys: Array
    probabilities: Array
    priorities: Array
    times_sampled: Array
    table_size: Array
