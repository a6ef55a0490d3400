"""Every reason that is given is explained to users."""

from __future__ import annotations

import re
from pathlib import Path

from greenroom_operator import reasons

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
REASONS = {value for name, value in vars(reasons).items() if name.isupper()}


def test_each_reason_is_explained_and_each_explained_one_is_given() -> None:
    assert len(REASONS) > 40
    text = PAGE.read_text()
    explained = set(re.findall(r"`([A-Z][A-Za-z]+)`", text))
    assert not REASONS - explained
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    first = {word for row in rows for word in re.findall(r"`([A-Z][A-Za-z]+)`", row)}
    # `STATE` is a column of kubectl's, and no reason.
    assert not first - REASONS - {"STATE"}
