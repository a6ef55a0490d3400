"""Small tables and items that the tests of replay share."""

import numpy as np

from greenroom.replay.tables import Fifo, RateLimiter, Table, Uniform
from greenroom.specs import ArraySpec

NUMBER = ArraySpec((), np.dtype(np.int64))


def make_table(**changes):
    """A uniform first-in-first-out table 't' of single numbers, without rate limits."""
    options = {
        "name": "t",
        "sampler": Uniform(),
        "remover": Fifo(),
        "limiter": RateLimiter.min_size_only(1),
        "max_size": 100,
        "signature": NUMBER,
    }
    return Table(**(options | changes))


def numbers(*values):
    return np.array(values, np.int64)


def insert(replay, *values, priorities=None, table="t"):
    """Insert numbers that must be admitted at once."""
    writer = replay.writer()
    if priorities is None:
        priorities = np.ones(len(values))
    writer.insert(table, numbers(*values), np.asarray(priorities, np.float64))
    writer.flush(timeout=30.0)


def chi_square_is_plausible(counts, probabilities):
    """Whether counts could be drawn with these probabilities, six sigma allowed."""
    counts, probabilities = np.asarray(counts, float), np.asarray(probabilities, float)
    expected = probabilities * counts.sum()
    freedom = len(counts) - 1
    statistic = ((counts - expected) ** 2 / expected).sum()
    # Chi-square is skewed; its cube root is nearly normal (Wilson and Hilferty).
    spread = 2 / (9 * freedom)
    return np.cbrt(statistic / freedom) < 1 - spread + 6 * np.sqrt(spread)
