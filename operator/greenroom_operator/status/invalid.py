"""The status of an experiment that breaks a rule which the API server does not know."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from greenroom_operator import names, reasons, stored
from greenroom_operator.status.conditions import NOT_FAILED, NOT_SUCCEEDED, write_conditions
from greenroom_operator.status.situation import Truth, Verdict
from greenroom_operator.words import bounded


def invalid_status(
    previous: Mapping[str, Any], generation: int, message: str, now: datetime
) -> dict[str, Any]:
    """Return the status of an experiment that nothing is done for until its spec is mended.

    What runs of it goes on, unobserved. One that has ended stays as it ended.
    """
    if stored.terminal(previous) is not None:
        return dict(previous)
    words = bounded(message)
    was_ready = stored.condition(previous, names.READY).get("status") in ("True", "Unknown")
    ready: Truth = "Unknown" if was_ready else "False"
    verdicts = {
        names.READY: Verdict(ready, reasons.INVALID, words),
        names.PROGRESSING: Verdict("False", reasons.INVALID, words),
        names.SUSPENDED: _as_before(
            previous, names.SUSPENDED, Verdict("False", reasons.INVALID, words)
        ),
        names.SUCCEEDED: NOT_SUCCEEDED,
        names.FAILED: NOT_FAILED,
        names.REPLAY_STALLED: Verdict("False", reasons.INVALID, words),
    }
    return {
        **previous,
        "observedGeneration": generation,
        "conditions": write_conditions(previous, verdicts, generation, now),
        "phase": names.DEGRADED if was_ready else previous.get("phase", names.PENDING),
    }


def _as_before(previous: Mapping[str, Any], kind: str, otherwise: Verdict) -> Verdict:
    before = stored.condition(previous, kind)
    status, reason = before.get("status"), before.get("reason")
    if status not in ("True", "False") or not isinstance(reason, str):
        return otherwise
    return Verdict(status, reason, bounded(str(before.get("message", ""))))
