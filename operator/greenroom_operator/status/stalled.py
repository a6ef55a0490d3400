"""ReplayStalled: whether experience has ceased to flow.

Acting and learning take turns at waiting for each other; that is what the rate limiter is
for. Flow has ceased when a learner says that it trains and neither count has moved for two
minutes. Since when they stand is in the status: ``progressTime`` changes with them.
"""

from __future__ import annotations

from greenroom_operator import names, reasons, stored
from greenroom_operator.experiment import Experiment
from greenroom_operator.observed import Observed
from greenroom_operator.status.situation import (
    Situation,
    Verdict,
    is_silent,
    ready_pods,
    silence_words,
)
from greenroom_operator.words import bounded

STALLED_SECONDS = 120.0

# By the side that the other one waits for: what that one cannot do.
_BLOCKED = {
    "acting": (reasons.SAMPLING_BLOCKED, "learning is blocked: it waits for actors' experience"),
    "learning": (reasons.INSERTING_BLOCKED, "acting is blocked: actors wait for the learner"),
}
_UNKNOWN = (reasons.BOTH_STAND_STILL, "neither acting nor learning goes on")
_NOT_TRAINING = Verdict("False", reasons.NOT_TRAINING, "no learner trains")


def replay_stalled(situation: Situation) -> Verdict:
    """Return the condition."""
    observed, progress = situation.observed, situation.observed.progress
    status = situation.experiment.status
    if situation.stops:
        return _NOT_TRAINING
    if silent := silence_words(status, observed):
        return Verdict("Unknown", reasons.LEARNER_SILENT, silent)
    if is_silent(status, observed):
        return _NOT_TRAINING
    if progress is None:
        return _as_before(situation)
    if progress.state != "training":
        return _NOT_TRAINING
    if not _is_stalled(situation.experiment, observed):
        return Verdict("False", reasons.FLOWING, "experience flows")
    reason, words = _BLOCKED.get(progress.bottleneck or "", _UNKNOWN)
    wanted = situation.decision.replicas["actor"]
    ready = ready_pods(observed, "actor")
    message = f"{words}; no steps for 2 min, {ready}/{wanted} actors ready"
    return Verdict("True", reason, message)


def _as_before(situation: Situation) -> Verdict:
    """Return what is known as long as the learner has not been asked, as after a restart."""
    before = stored.condition(situation.experiment.status, names.REPLAY_STALLED)
    runs = any(pod.phase == "Running" for pod in situation.observed.pods_of("learner"))
    status, reason = before.get("status"), before.get("reason")
    if not runs or status not in ("True", "False") or not isinstance(reason, str) or not reason:
        return _NOT_TRAINING
    return Verdict(status, reason, bounded(str(before.get("message", ""))))


def _is_stalled(experiment: Experiment, observed: Observed) -> bool:
    progress, status = observed.progress, experiment.status
    if progress is None:
        return False
    counts = (progress.environment_steps, progress.learner_steps)
    if counts != (status.get("environmentSteps"), status.get("learnerSteps")):
        return False
    since = stored.time(status.get("progressTime"))
    # A reading in the future is from before the clock was put back.
    read = min(progress.time, observed.now)
    stands = 0.0 if since is None else (read - since).total_seconds()
    # Once it has, other figures may change, as a rate does that goes on falling.
    return stands >= STALLED_SECONDS or stored.is_true(status, names.REPLAY_STALLED)
