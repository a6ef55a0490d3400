"""Sizes of volumes as the API server writes them."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

_UNITS: Final = {
    **{unit: Decimal(1024) ** power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti"), 1)},
    "Pi": Decimal(1024) ** 5,
    "Ei": Decimal(1024) ** 6,
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", 1)},
    "m": Decimal("0.001"),
}


def quantity(text: str) -> Decimal:
    """Return the number that a quantity stands for.

    Args:
        text: canonical, such as "10Gi", "5G", "1500m" or "12e6".

    >>> quantity("1Gi") > quantity("1G")
    True
    """
    for unit in (text[-2:], text[-1:]):
        if unit in _UNITS:
            return Decimal(text.removesuffix(unit)) * _UNITS[unit]
    return Decimal(text)


def larger(wanted: str, present: str | None) -> str:
    """Return the larger one of two quantities; the wanted one where there is no other."""
    if present is None or quantity(wanted) >= quantity(present):
        return wanted
    return present
