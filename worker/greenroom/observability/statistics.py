"""How sure a mean of a few episodes is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of n values and the 95% confidence interval of that mean: mean, low, high.

        mean +- t * s / sqrt(n)

    with s the sample's standard deviation (n - 1 in the denominator) and t the 0.975
    quantile of Student's distribution with n - 1 degrees of freedom (Student 1908,
    "The probable error of a mean"). It is exact for normal values; for the handful of
    episodes of one evaluation it is wider, and so more honest, than a bootstrap's. The
    same values always give the same interval.

    One value has a mean but no interval: low and high are NaN.

    Raises:
        ValueError: there are no values.

    >>> mean, low, high = mean_interval([9.0, 10.0, 11.0])
    >>> round(mean, 3), round(low, 3), round(high, 3)
    (10.0, 7.516, 12.484)
    """
    count = len(values)
    if not count:
        raise ValueError("A mean needs at least one value. Got: none.")
    mean = math.fsum(values) / count
    if count == 1:
        return mean, math.nan, math.nan
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half_width = student_t_quantile(count - 1) * math.sqrt(variance / count)
    return mean, mean - half_width, mean + half_width


@lru_cache(maxsize=64)
def student_t_quantile(degrees: int) -> float:
    """Return t with P(|T| <= t) = 0.95 for Student's T with ``degrees`` >= 1, by bisection."""
    low, high = 0.0, 16.0  # the widest, of 1 degree of freedom, is 12.7
    for _ in range(60):
        middle = (low + high) / 2
        if _central_probability(middle, degrees) < 0.95:
            low = middle
        else:
            high = middle
    return high


def _central_probability(t: float, degrees: int) -> float:
    """Return P(|T| <= t), by the finite series of Abramowitz and Stegun 1964, 26.7.3 and 26.7.4.

    With theta = atan(t / sqrt(degrees)), its terms are ascending powers of cos(theta):
    2/3 * 4/5 * ... for odd degrees, 1/2 * 3/4 * ... for even ones.
    """
    theta = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(theta), math.cos(theta)
    odd = degrees % 2 == 1
    term = cosine if odd else 1.0
    total = term if degrees > 1 else 0.0
    for power in range(2 if odd else 1, degrees - 2, 2):
        term *= cosine**2 * power / (power + 1)
        total += term
    return 2 / math.pi * (theta + sine * total) if odd else sine * total
