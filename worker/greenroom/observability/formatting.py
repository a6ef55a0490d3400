"""Numbers as people read them. None is a dash."""

from __future__ import annotations

import math
from collections.abc import Sequence

UNKNOWN = "-"
SPARKS = "▁▂▃▄▅▆▇█"


def format_count(value: int) -> str:
    """Return 84000 as ``84,000``."""
    return f"{value:,}"


def format_number(value: float | None) -> str:
    """Return a return, a loss or a ratio in about four digits: ``312.4``, ``0.03``, ``12,345``."""
    if value is None or math.isnan(value):
        return UNKNOWN
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def format_rate(per_second: float) -> str:
    """Return a rate: whole from 10 on, else with decimals."""
    return f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.2g}"


def format_duration(seconds: float) -> str:
    """Return ``0:42``, ``1:02:03`` or ``2d 01:02:03``."""
    if not math.isfinite(seconds):
        return UNKNOWN
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d {hour:02}:{minute:02}:{second:02}"
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def sparkline(values: Sequence[float], width: int) -> str:
    """Return the newest ``width`` values as bars, the lowest to the highest of them.

    Values that are not finite are gaps; equal values are drawn at middle height.

    >>> sparkline([0.0, 10.0, 20.0, 70.0], width=8)
    '▁▂▃█'
    """
    shown = values[-width:] if width > 0 else ()
    finite = [value for value in shown if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    scale = (len(SPARKS) - 1) / (high - low) if high > low else 0.0
    return "".join(
        (SPARKS[round((value - low) * scale)] if scale else SPARKS[3])
        if math.isfinite(value)
        else " "
        for value in shown
    )
