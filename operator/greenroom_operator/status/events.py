"""What a change of status tells people: an event for each turn, none for each reconcile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from greenroom_operator import names, reasons, stored
from greenroom_operator.words import bounded

_AT_REST = (names.SUSPENDING, names.SUSPENDED)


@dataclass(frozen=True, slots=True)
class Event:
    """A Kubernetes Event to be.

    Attributes:
        type: "Warning" if somebody should look.
    """

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def events(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Event]:
    """Return what happened between two statuses of an experiment."""
    return [*_life(old, new), *_trouble(old, new)]


def _life(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Event]:
    if "startTime" in new and "startTime" not in old:
        yield Event("Normal", reasons.STARTED, "replay, learner and actors are ready")
    if names.SUSPENDING == new.get("phase") != old.get("phase"):
        yield Event("Normal", reasons.SUSPENDING, "actors leave, then the learner, then replay")
    yield from _queue(old, new)
    started = "environmentSteps" in new
    if _became(old, new, names.SUSPENDED, "True") and (started or _suspended(new)):
        missed = _reason(new, names.SUSPENDED) == reasons.CHECKPOINT_MISSED
        kind: Literal["Normal", "Warning"] = "Warning" if missed else "Normal"
        yield Event(kind, reasons.SUSPENDED, _message(new, names.SUSPENDED))
    if stored.terminal(new) is None and (
        old.get("phase") in (*_AT_REST, names.QUEUED if started else "")
        and new.get("phase") not in (*_AT_REST, names.QUEUED)
    ):
        saved = stored.mapping(old.get("checkpoint"))
        words = "the learner goes on from its newest checkpoint" if saved else "all roles start"
        yield Event("Normal", reasons.RESUMED, words)
    if _became(old, new, names.SUCCEEDED, "True"):
        yield Event("Normal", reasons.SUCCEEDED, _message(new, names.SUCCEEDED))
    if _became(old, new, names.FAILED, "True"):
        cause = f"{_reason(new, names.FAILED)}: {_message(new, names.FAILED)}"
        yield Event("Warning", reasons.FAILED, bounded(cause))


def _queue(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Event]:
    """Yield what a queue of Kueue's did, and what it does not let happen."""
    reason, message = _reason(new, names.ADMITTED), _message(new, names.ADMITTED)
    if reason == _reason(old, names.ADMITTED):
        return
    if reason in (reasons.QUEUED, reasons.ADMITTED, reasons.EVICTED, reasons.REQUEUED):
        yield Event("Normal", reason, message)
    elif reason in (reasons.SCALING_REFUSED, reasons.QUEUEING_MISSING):
        yield Event("Warning", reason, message)


def _suspended(status: Mapping[str, Any]) -> bool:
    return status.get("phase") == names.SUSPENDED


def _trouble(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Event]:
    if stored.terminal(new) is None:
        before, now = stored.count(old.get("failures")), stored.count(new.get("failures"))
        obstructed = _status(new, names.PROGRESSING) in ("False", "Unknown")
        obstructed = obstructed and new.get("phase") not in (*_AT_REST, names.QUEUED)
        message = _message(new, names.PROGRESSING)
        if now > before:
            cause = f": {message}" if obstructed else ""
            words = f"a container was restarted, failure {now} so far{cause}"
            yield Event("Warning", reasons.RESTARTED, bounded(words))
        elif obstructed and _changed(old, new, names.PROGRESSING):
            yield Event("Warning", _reason(new, names.PROGRESSING), message)
        if new.get("phase") == names.RUNNING and old.get("phase") == names.DEGRADED:
            yield Event("Normal", reasons.RECOVERED, _message(new, names.READY))
    if _became(old, new, names.REPLAY_STALLED, "True"):
        words = f"{_reason(new, names.REPLAY_STALLED)}: {_message(new, names.REPLAY_STALLED)}"
        yield Event("Warning", reasons.REPLAY_STALLED, bounded(words))
    elif _became(old, new, names.REPLAY_STALLED, "False") and (
        stored.is_true(old, names.REPLAY_STALLED)
        and _reason(new, names.REPLAY_STALLED) == reasons.FLOWING
    ):
        yield Event("Normal", reasons.REPLAY_FLOWS, _message(new, names.REPLAY_STALLED))


def _became(old: Mapping[str, Any], new: Mapping[str, Any], kind: str, status: str) -> bool:
    return _status(new, kind) == status != _status(old, kind)


def _changed(old: Mapping[str, Any], new: Mapping[str, Any], kind: str) -> bool:
    """Return whether a condition has another status or reason; words alone are no turn."""
    return (_status(old, kind), _reason(old, kind)) != (_status(new, kind), _reason(new, kind))


def _status(status: Mapping[str, Any], kind: str) -> str:
    return str(stored.condition(status, kind).get("status", ""))


def _reason(status: Mapping[str, Any], kind: str) -> str:
    return str(stored.condition(status, kind).get("reason", ""))


def _message(status: Mapping[str, Any], kind: str) -> str:
    return str(stored.condition(status, kind).get("message", ""))
