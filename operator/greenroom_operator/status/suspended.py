"""Suspended: whether all pods have left, as a user or a queue wants, and with which checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from greenroom_operator import names, reasons, stored
from greenroom_operator.observed import Observed
from greenroom_operator.policies import stopping
from greenroom_operator.status.admitted import admitted
from greenroom_operator.status.situation import Situation, Verdict
from greenroom_operator.words import bounded

_STAGES: dict[stopping.Stage, tuple[str, str]] = {
    "actors": (reasons.STOPPING_ACTORS, "waiting for actors and evaluator to leave"),
    "learner": (reasons.STOPPING_LEARNER, "waiting for the learner to save and leave"),
    "replay": (reasons.STOPPING_REPLAY, "waiting for replay to leave"),
    "stopped": (reasons.SUSPENDED, "all pods have left, volumes are kept"),
}


def suspended(situation: Situation) -> Verdict:
    """Return the condition."""
    if situation.terminal is not None:
        kind, _ = situation.terminal
        return Verdict("False", kind, f"the experiment has {kind.lower()}: it is not suspended")
    if situation.decision.goal not in ("suspend", "queue"):
        return Verdict("False", reasons.NOT_SUSPENDED, "spec.suspend is false")
    if situation.stage != "stopped":
        return Verdict("False", *rest(situation))
    before = stored.condition(situation.experiment.status, names.SUSPENDED)
    if before.get("status") == "True" and before.get("reason"):
        # How it was suspended does not change any more.
        return Verdict("True", str(before["reason"]), bounded(str(before.get("message", ""))))
    return Verdict("True", *_with_checkpoint(situation.progress))


def rest(situation: Situation) -> tuple[str, str]:
    """Return reason and message for what leaves, or has left."""
    if situation.stage == "stopped" and situation.terminal is not None:
        kind, verdict = situation.terminal
        return kind, verdict.message
    if situation.stage == "stopped" and situation.decision.goal == "queue":
        waiting = admitted(situation)
        assert waiting is not None, "what waits for a queue names one"
        return waiting.reason, waiting.message
    reason, message = _STAGES[situation.stage]
    return reason, message + _lost(situation.observed)


def _lost(observed: Observed) -> str:
    lost = sorted(pod.name for pod in observed.pods if stopping.is_lost(pod, observed))
    if not lost:
        return ""
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    return f"; {lost[0]}{more} should have left: its node may be gone, and nobody waits for it"


def _with_checkpoint(progress: Mapping[str, Any]) -> tuple[str, str]:
    """Return reason and message: whether the last checkpoint holds all that was learned."""
    checkpoint = stored.mapping(progress.get("checkpoint"))
    if "environmentSteps" not in progress:
        return reasons.NOT_STARTED, "no learner has run yet"
    steps = (
        f"{stored.count(checkpoint.get('environmentSteps')):,} environment steps and "
        f"{stored.count(checkpoint.get('learnerSteps')):,} learner steps"
    )
    if checkpoint.get("final") is True:
        return reasons.CHECKPOINT_RECORDED, f"the learner saved its last checkpoint at {steps}"
    known = f"the newest known is at {steps}" if checkpoint else "none is known"
    words = f"the learner left without a word of its last checkpoint; {known}"
    return reasons.CHECKPOINT_MISSED, words
