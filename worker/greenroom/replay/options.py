"""From what an experiment says about replay to a table."""

from __future__ import annotations

from greenroom.core import ReplayOptions
from greenroom.replay.tables import Fifo, RateLimiter, Selector, Table, Uniform
from greenroom.specs import Tree
from greenroom_api import smallest_error_buffer

DEFAULT_ERROR_FRACTION = 0.1


def make_table(
    name: str,
    options: ReplayOptions,
    signature: Tree,
    *,
    items_per_step: int,
    batch_size: int,
    sampler: Selector | None = None,
) -> Table:
    """Return the table that an experiment describes.

    Args:
        name: the table's.
        options: ``spec.replay``.
        signature: tree of `ArraySpec` of its items.
        items_per_step: the most items that one vector step writes.
        batch_size: items that one learner step takes.
        sampler: how items are chosen; uniformly if None. A queue reads them in order.
    """
    if options.rate_limiter == "Queue":
        return Table.queue(name, options.max_size, signature)
    error_buffer = options.error_buffer
    if error_buffer is None:
        error_buffer = default_error_buffer(
            options.samples_per_insert, options.min_size, items_per_step, batch_size
        )
    limiter = RateLimiter.sample_to_insert_ratio(
        options.samples_per_insert, options.min_size, error_buffer
    )
    return Table(name, sampler or Uniform(), Fifo(), limiter, options.max_size, signature)


def default_error_buffer(
    samples_per_insert: float, min_size: int, items_per_step: int, batch_size: int
) -> float:
    """Return a tenth of the samples that filling the table to ``min_size`` pays for.

    But no less than acting and learning in turns need.
    """
    return max(
        DEFAULT_ERROR_FRACTION * samples_per_insert * min_size,
        smallest_error_buffer(samples_per_insert, items_per_step, batch_size),
    )
