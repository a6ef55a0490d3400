"""The six conditions of an experiment: what each says, and in which words.

=============  =======================  ===========================  ========================
condition      True                     False                        Unknown
=============  =======================  ===========================  ========================
Ready          replay, learner and at   not yet, not any more, or
               least one actor work     not wanted
Progressing    all is as the spec says  something stands in the      the learner does not
               or on its way there      way; or the end is reached   answer
Suspended      all pods are gone        not asked for, or on its way
Succeeded      a stop condition is met  not (yet)
Failed         it cannot go on          not (yet)
ReplayStalled  nothing flows            flows, or need not           the learner does not
                                                                     answer
=============  =======================  ===========================  ========================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from greenroom_operator import causes, names, reasons, stored
from greenroom_operator.experiment import Experiment
from greenroom_operator.names import ROLES, Role
from greenroom_operator.observed import Decision, Observed
from greenroom_operator.policies import polling, resume_source, stopping
from greenroom_operator.status.stall import blocked_side, is_stalled
from greenroom_operator.words import bounded, coarsely, listed

Truth = Literal["True", "False", "Unknown"]

SILENT_SECONDS = 30.0
"""A learner that did not answer for so long is silent; one question may get lost."""

_STAGES: dict[stopping.Stage, tuple[str, str]] = {
    "actors": (reasons.STOPPING_ACTORS, "waiting for actors and evaluator to leave"),
    "learner": (reasons.STOPPING_LEARNER, "waiting for the learner to save and leave"),
    "replay": (reasons.STOPPING_REPLAY, "waiting for replay to leave"),
    "stopped": (reasons.STOPPING_REPLAY, "all pods have left"),
}


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
        terminal: the terminal condition, once there is one; also one of just now.
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


def make_verdicts(situation: Situation) -> dict[str, Verdict]:
    """Return the six conditions by type, in the order in which they are shown."""
    obstacles = [] if situation.stops else _obstacles(situation)
    kind, ended = situation.terminal or ("", None)
    not_finished = Verdict("False", reasons.NOT_FINISHED, "no stop condition has been met")
    not_failed = Verdict("False", reasons.NOT_FAILED, "nothing has failed for good")
    return {
        names.READY: _ready(situation, obstacles),
        names.PROGRESSING: _progressing(situation, obstacles),
        names.SUSPENDED: _suspended(situation),
        names.SUCCEEDED: ended if ended and kind == names.SUCCEEDED else not_finished,
        names.FAILED: ended if ended and kind == names.FAILED else not_failed,
        names.REPLAY_STALLED: _replay_stalled(situation),
    }


def is_ready(observed: Observed) -> bool:
    """Return whether replay, learner and at least one actor work."""
    ready = {pod.role for pod in observed.pods if pod.ready and not pod.deleting}
    return ready >= {"replay", "learner", "actor"}


def _ready(situation: Situation, obstacles: list[causes.Cause]) -> Verdict:
    if situation.stops:
        return Verdict("False", *_rest(situation))
    if is_ready(situation.observed):
        return Verdict("True", reasons.ROLES_READY, "replay, learner and actors are ready")
    if obstacles:
        return _obstructed(obstacles)
    return Verdict("False", *_waiting(situation))


def _progressing(situation: Situation, obstacles: list[causes.Cause]) -> Verdict:
    if situation.stops:
        stopped = situation.stage == "stopped"
        return Verdict("False" if stopped else "True", *_rest(situation))
    if obstacles:
        return _obstructed(obstacles)
    if silent := _silence(situation.observed):
        return Verdict("Unknown", reasons.LEARNER_SILENT, silent)
    if _missing(situation):
        return Verdict("True", *_waiting(situation))
    return Verdict("True", reasons.AS_SPECIFIED, "all pods are ready")


def _obstructed(obstacles: list[causes.Cause]) -> Verdict:
    message = bounded("; ".join(obstacle.message for obstacle in obstacles))
    return Verdict("False", obstacles[0].reason, message)


def _obstacles(situation: Situation) -> list[causes.Cause]:
    """Return all that stands in the way, what a person must mend first."""
    found = []
    for (kind, name), words in sorted(situation.observed.refused.items()):
        message = bounded(f"{kind} {name} was refused: {words}")
        found.append(causes.Cause(reasons.CHILD_REFUSED, message))
    blocked = resume_source.blocked(situation.experiment, situation.observed)
    if blocked is not None:
        found.append(blocked)
    name, wanted = situation.experiment.name, situation.decision.replicas
    return found + causes.troubles(name, situation.observed, wanted)


def _rest(situation: Situation) -> tuple[str, str]:
    """Return reason and message while pods leave, and after that."""
    if situation.stage != "stopped":
        reason, message = _STAGES[situation.stage]
        return reason, message + _lost(situation.observed)
    if situation.terminal is not None:
        kind, verdict = situation.terminal
        return kind, verdict.message
    return reasons.SUSPENDED, "suspended: all pods have left, volumes are kept"


def _lost(observed: Observed) -> str:
    lost = sorted(pod.name for pod in observed.pods if stopping.is_lost(pod, observed))
    if not lost:
        return ""
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    return (
        f"; not for {lost[0]}{more}, still there after the grace period: "
        "its node may have ceased to answer"
    )


def _waiting(situation: Situation) -> tuple[str, str]:
    """Return reason and message while pods start; whom for is told if it takes long."""
    started = "startTime" in situation.experiment.status
    reason = reasons.NOT_READY if started else reasons.STARTING
    since = stored.transition(situation.experiment.status, names.READY)
    now = situation.observed.now
    waited = 0.0 if since is None else (now - since).total_seconds()
    ready = stored.is_true(situation.experiment.status, names.READY)
    if waited < polling.QUIET_SECONDS and not ready:
        return reason, "pods are starting"
    return reason, f"waiting for {listed(_missing(situation))} to become ready"


def _missing(situation: Situation) -> list[str]:
    """Return the roles that have not all of their pods ready."""
    missing: list[str] = []
    for role in ROLES:
        wanted = situation.decision.replicas[role]
        ready = _ready_pods(situation.observed, role)
        if ready < wanted:
            missing.append("actors" if role == "actor" else role)
    return missing


def _ready_pods(observed: Observed, role: Role) -> int:
    return sum(pod.ready and not pod.deleting for pod in observed.pods_of(role))


def _silence(observed: Observed) -> str:
    """Return words about a learner that is ready and does not answer, "" if it does."""
    silence = observed.silence
    if silence is None or not _ready_pods(observed, "learner"):
        return ""
    seconds = (observed.now - silence.since).total_seconds()
    if seconds < SILENT_SECONDS:
        return ""
    return bounded(f"learner has not answered for {coarsely(seconds)}: {silence.error}")


def _suspended(situation: Situation) -> Verdict:
    if situation.terminal is not None:
        kind, _ = situation.terminal
        return Verdict("False", kind, f"the experiment has {kind.lower()}: nothing is to suspend")
    if situation.decision.goal != "suspend":
        return Verdict("False", reasons.NOT_SUSPENDED, "spec.suspend is false")
    if situation.stage != "stopped":
        return Verdict("False", *_rest(situation))
    before = stored.condition(situation.experiment.status, names.SUSPENDED)
    if before.get("status") == "True" and before.get("reason") and before.get("message"):
        # How it was suspended does not change any more.
        return Verdict("True", str(before["reason"]), bounded(str(before["message"])))
    return Verdict("True", *_suspended_with(situation.progress))


def _suspended_with(progress: Mapping[str, Any]) -> tuple[str, str]:
    """Return reason and message: whether the last checkpoint holds all that was learned."""
    checkpoint = progress.get("checkpoint")
    if "environmentSteps" not in progress:
        return reasons.NOT_STARTED, "no learner has run yet"
    if not checkpoint:
        words = "the learner left without a word of its last checkpoint, and none is known"
        return reasons.CHECKPOINT_MISSED, words
    steps = (
        f"{stored.count(checkpoint.get('environmentSteps')):,} environment steps and "
        f"{stored.count(checkpoint.get('learnerSteps')):,} learner steps"
    )
    if checkpoint.get("final") is True:
        return reasons.CHECKPOINT_RECORDED, f"the learner saved its last checkpoint at {steps}"
    words = "the learner left without a word of its last checkpoint; the newest known is at"
    return reasons.CHECKPOINT_MISSED, f"{words} {steps}"


def _replay_stalled(situation: Situation) -> Verdict:
    observed = situation.observed
    progress = observed.progress
    if situation.stops or progress is None or progress.state != "training":
        return Verdict("False", reasons.NOT_TRAINING, "no learner trains")
    if silent := _silence(observed):
        return Verdict("Unknown", reasons.LEARNER_SILENT, silent)
    if not is_stalled(situation.experiment, observed):
        return Verdict("False", reasons.FLOWING, "experience flows")
    reason, words = blocked_side(progress.bottleneck)
    wanted = situation.decision.replicas["actor"]
    ready = _ready_pods(observed, "actor")
    message = f"{words}; no steps for 2 min, {ready}/{wanted} actors ready"
    return Verdict("True", reason, message)
