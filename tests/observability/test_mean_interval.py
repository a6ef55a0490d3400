"""The interval of a mean of a few episodes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.observability.statistics import mean_interval, student_t_quantile


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    # Student's t table, two-sided 95%.
    [
        (1, 12.7062),
        (2, 4.30265),
        (3, 3.18245),
        (4, 2.77645),
        (9, 2.26216),
        (10, 2.22814),
        (29, 2.04523),
        (100, 1.98397),
        (1000, 1.96234),
    ],
)
def test_quantiles_are_those_of_the_table(degrees: int, quantile: float) -> None:
    assert student_t_quantile(degrees) == pytest.approx(quantile, rel=1e-5)


def test_a_known_interval() -> None:
    mean, low, high = mean_interval([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])
    assert mean == 5.0
    half_width = 2.36462 * math.sqrt(32 / 7) / math.sqrt(8)
    assert (low, high) == pytest.approx((5 - half_width, 5 + half_width), rel=1e-5)


def test_equal_values_leave_no_doubt() -> None:
    assert mean_interval([500.0] * 10) == (500.0, 500.0, 500.0)


def test_one_value_has_no_interval() -> None:
    mean, low, high = mean_interval([7.0])
    assert mean == 7.0
    assert math.isnan(low)
    assert math.isnan(high)


def test_no_values_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at least one value\. Got: none"):
        mean_interval([])


@settings(max_examples=50)
@given(values=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40), shift=st.integers(-99, 99))
def test_it_moves_with_the_values_and_holds_their_mean(values: list[float], shift: int) -> None:
    mean, low, high = mean_interval(values)
    assert low <= mean <= high
    moved = mean_interval([value + shift for value in values])
    assert moved == pytest.approx((mean + shift, low + shift, high + shift), abs=1e-3)


def test_it_holds_the_true_mean_as_often_as_it_says() -> None:
    samples = np.random.default_rng(0).normal(3.0, 2.0, (2_000, 5))
    intervals = [mean_interval(sample.tolist()) for sample in samples]
    share = np.mean([low <= 3.0 <= high for _, low, high in intervals])
    assert share == pytest.approx(0.95, abs=0.015)
