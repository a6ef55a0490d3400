"""The whole of a status, and what of it is latched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from greenroom_operator import names, reasons, stored
from greenroom_operator.experiment import Experiment
from greenroom_operator.names import EXPERIMENT_LABEL, ROLE_LABEL
from greenroom_operator.observed import Decision, Observed
from greenroom_operator.policies.failure import Failures, count_failures, failed
from greenroom_operator.policies.managed_by import is_ours
from greenroom_operator.policies.success import finished
from greenroom_operator.status.conditions import make_verdicts, write_conditions
from greenroom_operator.status.progress import FIELDS, is_held_back, make_progress
from greenroom_operator.status.situation import Situation, Verdict, is_ready
from greenroom_operator.stored import write_time
from greenroom_operator.words import bounded

# What the controller puts in: it is kept as it is.
_CARRIED = ("images", "tokenSecret", "admission")


def make_status(experiment: Experiment, observed: Observed, decision: Decision) -> dict[str, Any]:
    """Return the status of an experiment as it was observed.

    With the same observation, the status of a status is itself: nothing is to be written.
    Fields without a value are left out. An experiment that somebody else looks after, or that
    is being deleted, keeps the status that it has.
    """
    previous = experiment.status
    if experiment.deleting or not is_ours(experiment):
        return dict(previous)
    ended = stored.terminal(previous) is not None
    failures = count_failures(experiment, observed)
    if ended:
        failures = Failures(stored.count(previous.get("failures")), failures.restarts)
    terminal = _terminal(experiment, observed, failures)
    progress = make_progress(experiment, observed)
    situation = Situation(experiment, observed, decision, terminal, progress)
    verdicts = make_verdicts(situation)
    status: dict[str, Any] = {
        "observedGeneration": experiment.generation,
        "conditions": write_conditions(previous, verdicts, experiment.generation, observed.now),
        **{name: previous[name] for name in _CARRIED if name in previous},
        "actors": _actors(experiment, observed, decision),
        **_times(experiment, observed, terminal),
        "failures": failures.total,
    }
    if failures.restarts:
        counts = sorted(failures.restarts.items())
        status["restarts"] = [{"uid": uid, "count": number} for uid, number in counts]
    status["phase"] = _phase(situation, verdicts)
    return status | _progress(previous, status, progress, observed)


def _progress(
    previous: Mapping[str, Any],
    status: Mapping[str, Any],
    progress: Mapping[str, Any],
    observed: Observed,
) -> dict[str, Any]:
    """Return the progress fields to write: those that are there if only these would change."""
    before = {name: previous[name] for name in FIELDS if name in previous}
    others = {name: value for name, value in previous.items() if name not in FIELDS}
    same = others == status and _is_final(previous) == _is_final(progress)
    return before if same and is_held_back(previous, observed) else dict(progress)


def _is_final(fields: Mapping[str, Any]) -> bool:
    return stored.mapping(fields.get("checkpoint")).get("final") is True


def _terminal(
    experiment: Experiment, observed: Observed, failures: Failures
) -> tuple[str, Verdict] | None:
    """Return the terminal condition: the one that is latched, or one of now."""
    kind = stored.terminal(experiment.status)
    if kind is not None:
        latched = stored.condition(experiment.status, kind)
        reason = str(latched.get("reason") or kind)
        return kind, Verdict("True", reason, bounded(str(latched.get("message", ""))))
    if progress := finished(observed):
        message = bounded(progress.detail or "a stop condition was met")
        return names.SUCCEEDED, Verdict("True", reasons.STOP_CONDITION_MET, message)
    if cause := failed(experiment, observed, failures):
        return names.FAILED, Verdict("True", cause.reason, cause.message)
    return None


def _actors(experiment: Experiment, observed: Observed, decision: Decision) -> dict[str, Any]:
    pods = [pod for pod in observed.pods_of("actor") if not pod.deleting]
    return {
        "desired": decision.replicas["actor"],
        "replicas": sum(pod.phase not in ("Succeeded", "Failed") for pod in pods),
        "ready": sum(pod.ready for pod in pods),
        "selector": f"{EXPERIMENT_LABEL}={experiment.name},{ROLE_LABEL}=actor",
    }


def _times(
    experiment: Experiment, observed: Observed, terminal: tuple[str, Verdict] | None
) -> dict[str, str]:
    """Return start and completion; each is set once."""
    times = {}
    for name, reached in (
        ("startTime", is_ready(observed) or _has_trained(observed)),
        ("completionTime", terminal is not None),
    ):
        before = stored.time(experiment.status.get(name))
        if before is not None or reached:
            times[name] = write_time(before or observed.now)
    return times


def _has_trained(observed: Observed) -> bool:
    """Return whether the learner says so: a short run ends before all its pods are seen ready."""
    return observed.progress is not None and observed.progress.state != "starting"


def _phase(situation: Situation, verdicts: Mapping[str, Verdict]) -> str:
    """Return one word for a column."""
    if situation.terminal is not None:
        return situation.terminal[0]
    if situation.decision.goal in ("suspend", "queue"):
        if verdicts[names.SUSPENDED].status != "True":
            return names.SUSPENDING
        return names.SUSPENDED if situation.decision.goal == "suspend" else names.QUEUED
    ready = verdicts[names.READY].status == "True"
    if ready and verdicts[names.PROGRESSING].status == "True":
        return names.RUNNING
    return names.DEGRADED if ready or situation.ran else names.PENDING
