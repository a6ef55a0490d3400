"""The conditions of an experiment: what each says, and in which words.

=============  =======================  ===========================  ========================
condition      True                     False                        Unknown
=============  =======================  ===========================  ========================
Ready          replay, learner and at   not yet, not any more, or
               least one actor work     not wanted
Progressing    all is as the spec says  something stands in the      the learner does not
               or on its way there      way; or the end is reached   answer
Suspended      all pods are gone, as    not asked for, or on its way
               was asked for, or since
               a queue has its turn
Succeeded      a stop condition is met  not (yet)
Failed         it cannot go on          not (yet)
ReplayStalled  nothing flows            flows, or need not           the learner does not
                                                                     answer
Admitted       a queue lets it run      it waits, or was evicted; of
                                        experiments with a queue
=============  =======================  ===========================  ========================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from greenroom_operator import causes, names, reasons, stored
from greenroom_operator.causes import WORKLOAD, Cause
from greenroom_operator.names import ROLES, child_name
from greenroom_operator.policies import polling, resume_source
from greenroom_operator.status.admitted import admitted
from greenroom_operator.status.situation import (
    Situation,
    Verdict,
    is_ready,
    ready_pods,
    silence_words,
)
from greenroom_operator.status.stalled import replay_stalled
from greenroom_operator.status.suspended import rest, suspended
from greenroom_operator.words import bounded, listed

NOT_SUCCEEDED = Verdict("False", reasons.NOT_FINISHED, "no stop condition has been met")
ROLES_READY = "replay, learner and actors are ready"
NOT_FAILED = Verdict("False", reasons.NOT_FAILED, "nothing has failed for good")


def make_verdicts(situation: Situation) -> dict[str, Verdict]:
    """Return the conditions by type, in the order in which they are shown."""
    obstacles = _obstacles(situation)
    ended = {} if situation.terminal is None else dict([situation.terminal])
    verdicts = {
        names.READY: _ready(situation, obstacles),
        names.PROGRESSING: _progressing(situation, obstacles),
        names.SUSPENDED: suspended(situation),
        names.SUCCEEDED: ended.get(names.SUCCEEDED, NOT_SUCCEEDED),
        names.FAILED: ended.get(names.FAILED, NOT_FAILED),
        names.REPLAY_STALLED: replay_stalled(situation),
    }
    queued = admitted(situation)
    return verdicts if queued is None else verdicts | {names.ADMITTED: queued}


def write_conditions(
    status: Mapping[str, Any], verdicts: Mapping[str, Verdict], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """Return conditions as they are written; their time is that of a change of ``status``.

    Args:
        status: the previous one.
    """
    conditions = []
    for kind, verdict in verdicts.items():
        before = stored.condition(status, kind)
        since = stored.time(before.get("lastTransitionTime"))
        # A time in the future is of a clock that was put back since.
        if before.get("status") != verdict.status or since is None or since > now:
            since = now
        conditions.append(
            {
                "type": kind,
                "status": verdict.status,
                "observedGeneration": generation,
                "lastTransitionTime": stored.write_time(since),
                "reason": verdict.reason,
                "message": verdict.message,
            }
        )
    return conditions


def _ready(situation: Situation, obstacles: list[Cause]) -> Verdict:
    if situation.stops:
        return Verdict("False", *rest(situation))
    if is_ready(situation.observed):
        # What is wrong nevertheless is what people look for who see it Degraded.
        words = "; ".join([ROLES_READY, *(obstacle.message for obstacle in obstacles)])
        return Verdict("True", reasons.ROLES_READY, bounded(words))
    if obstacles:
        return _obstructed(obstacles)
    if silent := silence_words(situation.experiment.status, situation.observed):
        return Verdict("False", reasons.LEARNER_SILENT, silent)
    return Verdict("False", *_waiting(situation))


def _progressing(situation: Situation, obstacles: list[Cause]) -> Verdict:
    if obstacles:
        return _obstructed(obstacles)
    if situation.stops:
        return Verdict("False" if situation.stage == "stopped" else "True", *rest(situation))
    if silent := silence_words(situation.experiment.status, situation.observed):
        return Verdict("Unknown", reasons.LEARNER_SILENT, silent)
    if _missing(situation):
        return Verdict("True", *_waiting(situation))
    return Verdict("True", reasons.AS_SPECIFIED, "all pods are ready")


def _obstructed(obstacles: list[Cause]) -> Verdict:
    message = bounded("; ".join(obstacle.message for obstacle in obstacles))
    return Verdict("False", obstacles[0].reason, message)


def _obstacles(situation: Situation) -> list[Cause]:
    """Return all that stands in the way; first what a person must mend."""
    found = []
    for (kind, name), words in sorted(situation.observed.refused.items()):
        found.append(Cause(reasons.CHILD_REFUSED, bounded(f"{kind} {name} was refused: {words}")))
    if situation.stops:
        return found
    blocked = resume_source.blocked(situation.experiment, situation.observed)
    if blocked is not None:
        found.append(blocked)
    name, wanted = situation.experiment.name, situation.decision.replicas
    troubles = causes.troubles(name, situation.observed, wanted)
    if _waited(situation) < polling.QUIET_SECONDS:
        troubles = [cause for cause in troubles if not _passes(cause)]
    return found + troubles


def _passes(cause: Cause) -> bool:
    """Return whether every new experiment has this for a moment: its volumes are being made."""
    unbound = cause.reason == reasons.UNSCHEDULABLE and "PersistentVolumeClaim" in cause.message
    return unbound or cause.reason == reasons.VOLUME_PENDING


def _waiting(situation: Situation) -> tuple[str, str]:
    """Return reason and message while pods start; whom for is told if it takes long."""
    works = is_ready(situation.observed)
    reason = reasons.NOT_READY if situation.ran or works else reasons.STARTING
    if _waited(situation) < polling.QUIET_SECONDS and not works:
        return reason, "pods are starting"
    # None is missing while a learner of before leaves, and is not yet replaced.
    awaited = _missing(situation) or ["learner"]
    words = [f"waiting for {listed(awaited)} to become ready", *_hindrances(situation)]
    return reason, bounded("; ".join(words))


def _hindrances(situation: Situation) -> Iterator[str]:
    """Yield what no pod can tell: children that will not go, and workloads without pods."""
    children = situation.observed.children
    for key in sorted(children):
        if children[key].deleting:
            yield f"{' '.join(key)} is still being deleted"
    for role in ROLES:
        key = WORKLOAD[role], child_name(situation.experiment.name, role)
        workload = children.get(key)
        if workload is not None and workload.replicas and not situation.observed.pods_of(role):
            yield f"{' '.join(key)} has made no pod; its events may tell why"


def _waited(situation: Situation) -> float:
    """Return for how many seconds the experiment has waited to become ready."""
    since = polling.waiting_since(situation.experiment.status)
    return 0.0 if since is None else (situation.observed.now - since).total_seconds()


def _missing(situation: Situation) -> list[str]:
    """Return the roles that have not all of their pods ready."""
    missing: list[str] = []
    for role in ROLES:
        if ready_pods(situation.observed, role) < situation.decision.replicas[role]:
            missing.append("actors" if role == "actor" else role)
    return missing
