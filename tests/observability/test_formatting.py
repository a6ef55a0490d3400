"""Numbers, durations and curves as people read them."""

from __future__ import annotations

import math

import pytest

from greenroom.observability.formatting import format_duration, format_number, sparkline


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (42.9, "0:42"),
        (3_599, "59:59"),
        (3_723, "1:02:03"),
        (180_123, "2d 02:02:03"),
        (math.inf, "-"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (math.nan, "-"),
        (0.0, "0"),
        (0.03125, "0.03125"),
        (312.44, "312.4"),
        (-12_345.6, "-12,346"),
        (1.5e12, "1.5e+12"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert format_number(value) == text


def test_sparklines() -> None:
    assert sparkline([0.0, 10.0, 20.0, 70.0], 8) == "▁▂▃█"
    assert sparkline([5.0, 5.0], 8) == "▄▄"
    assert sparkline([9.0, 0.0, math.nan, 1.0], 3) == "▁ █"
    assert sparkline([], 8) == ""
    assert sparkline([1.0], 0) == ""
