"""The previous status of an experiment, read with care.

It is what this operator wrote, or an older or newer one, or somebody with the right to
edit it: what is not as it should be counts as not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from greenroom_operator import names


def condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return the condition of a type, {} if there is none."""
    conditions = status.get("conditions")
    for entry in conditions if isinstance(conditions, list) else ():
        if isinstance(entry, Mapping) and entry.get("type") == kind:
            return entry
    return {}


def is_true(status: Mapping[str, Any], kind: str) -> bool:
    """Return whether a condition is True."""
    return condition(status, kind).get("status") == "True"


def terminal(status: Mapping[str, Any]) -> Literal["Succeeded", "Failed"] | None:
    """Return which terminal condition is latched."""
    if is_true(status, names.SUCCEEDED):
        return "Succeeded"
    if is_true(status, names.FAILED):
        return "Failed"
    return None


def transition(status: Mapping[str, Any], kind: str) -> datetime | None:
    """Return when a condition changed last."""
    return time(condition(status, kind).get("lastTransitionTime"))


def time(value: Any) -> datetime | None:
    """Return a time of the API, None if it is none.

    >>> time("2026-11-24T17:00:00Z")
    datetime.datetime(2026, 11, 24, 17, 0, tzinfo=datetime.timezone.utc)
    """
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return None
    return in_utc(parsed)


def in_utc(moment: datetime) -> datetime:
    """Return a moment in UTC; one without a zone is taken to be."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def write_time(moment: datetime) -> str:
    """Write a time as the API has it, to the second.

    >>> write_time(datetime(2026, 11, 24, 17, 0, 0, 999, tzinfo=UTC))
    '2026-11-24T17:00:00Z'
    """
    return in_utc(moment).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def count(value: Any) -> int:
    """Return a count, 0 if it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def mapping(value: Any) -> Mapping[str, Any]:
    """Return an object, {} if it is none."""
    return value if isinstance(value, Mapping) else {}


def restarts(status: Mapping[str, Any]) -> dict[str, int]:
    """Return the restarts that are counted already, by uid of the pod."""
    entries = status.get("restarts")
    return {
        str(entry.get("uid")): count(entry.get("count"))
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, Mapping)
    }
