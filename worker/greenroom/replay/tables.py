"""Descriptions of replay tables: plain values that every replay implementation reads.

A table keeps items until its remover makes room for newer ones. Its rate limiter
admits inserts and samples one at a time and keeps their proportion inside a
window; who runs ahead waits. The arithmetic is Reverb's own (Cassirer et al. 2021,
"Reverb: a framework for experience replay", section 3.3), so that an embedded
table and a Reverb server behave alike:

    diff = samples_per_insert * inserts - samples

    an insert is admitted if the table would still not exceed min_size,
                          or diff after it <= max_diff
    a sample is admitted  if the table holds at least min_size items
                         and diff after it >= min_diff

Example, one update of batch 64 for every two transitions, after 1,000 of them::

    Table(
        name="transitions",
        sampler=Uniform(),
        remover=Fifo(),
        limiter=RateLimiter.sample_to_insert_ratio(32.0, min_size=1_000, error_buffer=4_096),
        max_size=100_000,
        signature=NStepTransitionAdder.signature(spec),
    )
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TypeAlias

from greenroom.errors import ConfigurationError
from greenroom.specs import Tree

# Reverb's own bound for "no limit": the largest finite double, which it stores as such.
NO_LIMIT = sys.float_info.max


@dataclass(frozen=True)
class Uniform:
    """Every item is equally likely."""


@dataclass(frozen=True)
class Fifo:
    """The oldest item."""


@dataclass(frozen=True)
class Lifo:
    """The newest item."""


@dataclass(frozen=True)
class Prioritized:
    """P(i) = p_i**exponent / sum_k p_k**exponent (Schaul et al. 2016, equation 1).

    An item of priority 0 is never sampled while another has a positive one.
    """

    exponent: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.exponent < float("inf"):
            raise ConfigurationError(
                f"A priority exponent must be finite and not negative. Got: {self.exponent}."
            )


Selector: TypeAlias = Uniform | Fifo | Lifo | Prioritized


@dataclass(frozen=True)
class RateLimiter:
    """The four numbers of a rate limiter; the constructors below are the usual choices.

    Attributes:
        samples_per_insert: how many samples one insert pays for.
        min_size: items in the table before the first sample.
        min_diff, max_diff: the window in which ``diff`` (module docstring) stays.
    """

    samples_per_insert: float
    min_size: int
    min_diff: float
    max_diff: float

    def __post_init__(self) -> None:
        if self.min_size < 1:
            raise ConfigurationError(f"min_size must be at least 1. Got: {self.min_size}.")
        if not self.samples_per_insert > 0:
            raise ConfigurationError(
                f"samples_per_insert must be positive. Got: {self.samples_per_insert}."
            )

    @classmethod
    def min_size_only(cls, min_size: int) -> RateLimiter:
        """Sampling starts at ``min_size`` items; nothing else is ever held back."""
        return cls(1.0, min_size, -NO_LIMIT, NO_LIMIT)

    @classmethod
    def sample_to_insert_ratio(
        cls, samples_per_insert: float, min_size: int, error_buffer: float
    ) -> RateLimiter:
        """Hold samples per insert, give or take ``error_buffer`` samples.

        Raises:
            ConfigurationError: if the buffer is smaller than one insert or one
                sample is worth, which would block one side for good.
        """
        if error_buffer < max(1.0, samples_per_insert):
            raise ConfigurationError(
                "error_buffer must be at least max(1, samples_per_insert), or one side blocks "
                f"for ever. Got: error_buffer={error_buffer:g}, "
                f"samples_per_insert={samples_per_insert:g}."
            )
        offset = samples_per_insert * min_size
        return cls(samples_per_insert, min_size, offset - error_buffer, offset + error_buffer)

    @classmethod
    def queue(cls, capacity: int) -> RateLimiter:
        """Each item is sampled once, in step: at most ``capacity`` wait to be read."""
        if capacity < 1:
            raise ConfigurationError(f"A queue's capacity must be at least 1. Got: {capacity}.")
        return cls(1.0, 1, 0.0, float(capacity))

    @property
    def window(self) -> float:
        """How far ``diff`` may move, in samples."""
        return self.max_diff - self.min_diff


@dataclass(frozen=True)
class Table:
    """One table of a replay.

    Attributes:
        name: unique in its replay.
        sampler: which item a sample returns.
        remover: which item leaves when a full table takes another. The newcomer takes
            part, as in Reverb: a Lifo remover keeps the oldest items.
        limiter: the rate limiter.
        max_size: items at most.
        signature: tree of `ArraySpec` that every item has.
        max_times_sampled: an item leaves after so many samples; 0 is never.
    """

    name: str
    sampler: Selector
    remover: Selector
    limiter: RateLimiter
    max_size: int
    signature: Tree
    max_times_sampled: int = 0

    def __post_init__(self) -> None:
        if self.max_size < 1:
            raise ConfigurationError(
                f"Table {self.name!r}: max_size must be at least 1. Got: {self.max_size}."
            )
        if self.limiter.min_size > self.max_size:
            raise ConfigurationError(
                f"Table {self.name!r}: min_size must not exceed max_size, or sampling never "
                f"starts. Got: min_size={self.limiter.min_size}, max_size={self.max_size}."
            )

    @classmethod
    def queue(cls, name: str, capacity: int, signature: Tree) -> Table:
        """Return a first-in, first-out table whose items are sampled once each."""
        return cls(
            name=name,
            sampler=Fifo(),
            remover=Fifo(),
            limiter=RateLimiter.queue(capacity),
            max_size=capacity,
            signature=signature,
            max_times_sampled=1,
        )


@dataclass(frozen=True)
class TableInfo:
    """A table's state at one moment.

    Attributes:
        size, max_size: items now, and at most.
        inserts, samples, deletes: counted since the table began, restarts from a
            checkpoint included.
        diff, min_diff, max_diff: where the limiter stands in its window, in samples.
        samples_per_insert, min_size: as the limiter was described.
        insert_wait_seconds, sample_wait_seconds: how long callers were held back by
            the limiter, summed over callers, since this process began.
    """

    name: str
    size: int
    max_size: int
    inserts: int
    samples: int
    deletes: int
    diff: float
    min_diff: float
    max_diff: float
    samples_per_insert: float
    min_size: int
    insert_wait_seconds: float
    sample_wait_seconds: float
