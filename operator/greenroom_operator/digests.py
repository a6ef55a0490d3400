"""Digests of plain values, by which changes are told."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any


def digest(value: Any) -> str:
    """Return a digest of plain values, the same in whatever order their keys are."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return blake2b(text.encode(), digest_size=8).hexdigest()
