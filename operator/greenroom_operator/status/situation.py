"""What the conditions of one status are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from greenroom_operator import names, reasons, stored
from greenroom_operator.experiment import Experiment
from greenroom_operator.names import Role
from greenroom_operator.observed import Decision, Observed
from greenroom_operator.policies import stopping
from greenroom_operator.words import bounded

Truth = Literal["True", "False", "Unknown"]

SILENT_SECONDS = 30.0
"""A learner that did not answer for so long is silent; one question may get lost."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A condition without its type and time."""

    status: Truth
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Situation:
    """What conditions are made of.

    Attributes:
        decision: what the policies made of it.
        terminal: type and verdict of the terminal condition, once there is one; also one of
            just now.
        progress: the progress fields of the status to be.
    """

    experiment: Experiment
    observed: Observed
    decision: Decision
    terminal: tuple[str, Verdict] | None
    progress: Mapping[str, Any]

    @property
    def stops(self) -> bool:
        """Whether it stops, or has."""
        return self.terminal is not None or self.decision.goal != "run"

    @property
    def stage(self) -> stopping.Stage:
        """Which stage of stopping it is in."""
        return stopping.stage(self.experiment, self.observed)

    @property
    def ran(self) -> bool:
        """Whether it was ready since it began, or since it was resumed."""
        return self.experiment.status.get("phase") in (names.RUNNING, names.DEGRADED)


def ready_pods(observed: Observed, role: Role) -> int:
    """Return how many pods of a role are ready, those that leave apart."""
    return sum(pod.ready and not pod.deleting for pod in observed.pods_of(role))


def is_ready(observed: Observed) -> bool:
    """Return whether replay, learner and at least one actor work."""
    return all(ready_pods(observed, role) for role in ("replay", "learner", "actor"))


def is_silent(status: Mapping[str, Any], observed: Observed) -> bool:
    """Return whether the learner has been asked in vain for long.

    One that was silent before this operator began is so until it answers.

    Args:
        status: the previous one.
    """
    silence = observed.silence
    if observed.progress is None and _silence_before(status):
        return True
    if silence is None:
        return False
    return (observed.now - silence.since).total_seconds() >= SILENT_SECONDS


def silence_words(status: Mapping[str, Any], observed: Observed) -> str:
    """Return words about a learner that is silent and should not be, "" if it is not.

    One that starts does not answer yet; one that is ready, or answered before, should. The
    words stay as they began, and name no duration: that is the time of the condition.

    Args:
        status: the previous one.
    """
    if not is_silent(status, observed) or not _should_answer(observed):
        return ""
    if before := _silence_before(status):
        return before
    assert observed.silence is not None, "only a silence of before is one without"
    return bounded(f"learner does not answer: {observed.silence.error}")


def _silence_before(status: Mapping[str, Any]) -> str:
    """Return what the previous status says of a silent learner, "" if it did answer."""
    before = stored.condition(status, names.REPLAY_STALLED)
    if before.get("reason") != reasons.LEARNER_SILENT:
        return ""
    return bounded(str(before.get("message") or ""))


def _should_answer(observed: Observed) -> bool:
    spoke = observed.progress and observed.progress.pod
    return any(
        pod.ready or (pod.uid == spoke and pod.phase == "Running" and pod.exit_code is None)
        for pod in observed.pods_of("learner")
        if not pod.deleting
    )
