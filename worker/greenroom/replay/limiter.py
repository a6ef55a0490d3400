"""A rate limiter at work: a table's counts, and how many inserts and samples they admit.

The rules are Reverb's (`greenroom.replay.tables` states them). Items are admitted
one by one; where several are asked for at once, the answer here is exactly the
number that asking one by one would have reached. That needs no loop: each rule
is monotone in the number of items, rounding of doubles included, so the number
is found by bisection.
"""

from __future__ import annotations

from collections.abc import Callable

from greenroom.replay.tables import RateLimiter


class Limiter:
    """Counts of one table, and what they admit.

        admitted = limiter.insertable(3)        # of three inserts in a row
        limiter.inserts += admitted

    Attributes:
        rule: the four numbers.
        inserts, samples, deletes: counted since the table began.
    """

    def __init__(self, rule: RateLimiter) -> None:
        self.rule = rule
        self.inserts = 0
        self.samples = 0
        self.deletes = 0

    @property
    def size(self) -> int:
        return self.inserts - self.deletes

    @property
    def diff(self) -> float:
        """Samples that are paid for and not yet taken."""
        return self.inserts * self.rule.samples_per_insert - self.samples

    def insertable(self, items: int) -> int:
        """Return how many of ``items`` inserts in a row are admitted, no sample between them.

        A full table evicts one item for each it takes. That changes no answer: it is
        at or above the minimum size before and after, where only ``diff`` decides.
        """
        return _largest(self._admits_insert, items)

    def samplable(self, items: int) -> int:
        """Return how many of ``items`` samples in a row are admitted, no insert between them
        and no item leaving.
        """
        if self.size < self.rule.min_size:
            return 0
        return _largest(self._admits_sample, items)

    def why_no_insert(self) -> str:
        """Say in words what holds the next insert back."""
        diff = (self.inserts + 1) * self.rule.samples_per_insert - self.samples
        return (
            f"the learner is behind (diff {diff:.10g} would exceed max_diff "
            f"{self.rule.max_diff:.10g}; {self._counts()})"
        )

    def why_no_sample(self) -> str:
        """Say in words what holds the next sample back."""
        if self.size < self.rule.min_size:
            return f"it has {self.size} items, needs {self.rule.min_size} ({self._counts()})"
        return (
            f"waiting for inserts (diff {self.diff - 1:.10g} would fall below min_diff "
            f"{self.rule.min_diff:.10g}; {self._counts()})"
        )

    def _counts(self) -> str:
        return (
            f"{self.size} items after {self.inserts} inserts, {self.samples} samples and "
            f"{self.deletes} deletes, {self.rule.samples_per_insert:.10g} samples per insert"
        )

    def _admits_insert(self, nth: int) -> bool:
        if self.size + nth <= self.rule.min_size:
            return True
        diff = (self.inserts + nth) * self.rule.samples_per_insert - self.samples
        return diff <= self.rule.max_diff

    def _admits_sample(self, nth: int) -> bool:
        # Grouped as the nth question by itself would be, for equal rounding.
        diff = self.inserts * self.rule.samples_per_insert - (self.samples + nth - 1) - 1
        return diff >= self.rule.min_diff


def _largest(admits: Callable[[int], bool], items: int) -> int:
    """Return the largest n <= items with ``admits(n)``, true up to some n and false after."""
    if items <= 0 or admits(items):
        return max(items, 0)
    admitted, refused = 0, items
    while refused - admitted > 1:
        middle = (admitted + refused) // 2
        if admits(middle):
            admitted = middle
        else:
            refused = middle
    return admitted
