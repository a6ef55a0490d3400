"""Counts, rates and the checkpoint in the status, and how often they change there.

They are written at most every 30 s while nothing else changes: a status that changes each
time that the learner is asked would be most of what the operator writes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from greenroom_api.values import MAX_COUNT
from greenroom_operator import stored
from greenroom_operator.experiment import Experiment
from greenroom_operator.names import child_name
from greenroom_operator.observed import Checkpoint, Observed, Progress
from greenroom_operator.policies.stopping import remaining
from greenroom_operator.status.situation import is_silent
from greenroom_operator.stored import write_time

WRITE_SECONDS = 30.0

COUNTS = ("environmentSteps", "learnerSteps", "episodeReturn", "samplesPerInsert")
RATES = ("environmentStepsPerSecond", "learnerStepsPerSecond", "bottleneck")
FIELDS = (*COUNTS, *RATES, "checkpoint", "progressTime")


def make_progress(experiment: Experiment, observed: Observed) -> dict[str, Any]:
    """Return the progress fields as they are now. What is not known is left out.

    Environment steps never decrease: the learner keeps a journal of them. Learner steps do
    when a learner goes on from an older checkpoint; the truth is shown then. Counts stay after
    the end, rates are of a learner that trains.
    """
    previous = {name: experiment.status[name] for name in FIELDS if name in experiment.status}
    fields = {name: previous[name] for name in COUNTS if name in previous}
    progress = observed.progress
    if any(pod.phase == "Running" for pod in observed.pods_of("learner")) or progress is not None:
        fields.setdefault("environmentSteps", 0)
        fields.setdefault("learnerSteps", 0)
    if progress is not None and progress.state != "starting":
        fields |= _counts(progress, stored.count(fields.get("environmentSteps")))
    if progress is None:
        # Not asked yet, as after a restart of this operator.
        runs = any(pod.phase == "Running" for pod in remaining(observed, "learner"))
        fields |= {name: previous[name] for name in RATES if name in previous and runs}
    elif _trains(experiment.status, observed, progress):
        fields |= _rates(progress)
    if checkpoint := _checkpoint(experiment, observed):
        fields["checkpoint"] = checkpoint
    if any(previous.get(name) != fields.get(name) for name in FIELDS[:-1]):
        fields["progressTime"] = write_time(_read_at(experiment.status, observed))
    elif "progressTime" in previous:
        fields["progressTime"] = previous["progressTime"]
    return fields


def is_held_back(status: Mapping[str, Any], observed: Observed) -> bool:
    """Return whether the progress fields that are stored are too young for newer ones.

    A time in the future, as after the clock was put back, is none.
    """
    written = stored.time(status.get("progressTime"))
    if written is None:
        return False
    return 0 <= (_read_at(status, observed) - written).total_seconds() < WRITE_SECONDS


def _read_at(status: Mapping[str, Any], observed: Observed) -> datetime:
    """Return when the figures were read, or now if none were since the stored ones."""
    written, progress = stored.time(status.get("progressTime")), observed.progress
    if progress is None:
        return observed.now
    read = min(progress.time, observed.now).replace(microsecond=0)
    return read if written is None or read > written else observed.now


def _trains(status: Mapping[str, Any], observed: Observed, progress: Progress) -> bool:
    """Return whether the learner that gave these figures is there and trains."""
    if progress.state != "training" or is_silent(status, observed):
        return False
    return any(pod.uid == progress.pod for pod in remaining(observed, "learner"))


def _counts(progress: Progress, environment_steps: int) -> dict[str, Any]:
    return {
        "environmentSteps": max(_count(progress.environment_steps), environment_steps),
        "learnerSteps": _count(progress.learner_steps),
        **_known(
            episodeReturn=_rounded(progress.episode_return, 6),
            samplesPerInsert=_rate(progress.samples_per_insert),
        ),
    }


def _rates(progress: Progress) -> dict[str, Any]:
    return _known(
        environmentStepsPerSecond=_rate(progress.environment_steps_per_second),
        learnerStepsPerSecond=_rate(progress.learner_steps_per_second),
        bottleneck=progress.bottleneck,
    )


def _known(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _count(value: int) -> int:
    """Return a count that the schema takes, whatever a learner says."""
    return min(max(value, 0), MAX_COUNT)


def _rate(value: float | None) -> float | None:
    return None if value is None or value < 0 else _rounded(value, 4)


def _rounded(value: float | None, digits: int) -> float | None:
    """Return a number with so many significant digits, None if it is not finite."""
    if value is None:
        return None
    rounded = float(f"{value:.{digits}g}")
    return rounded if math.isfinite(rounded) else None


def _checkpoint(experiment: Experiment, observed: Observed) -> dict[str, Any]:
    """Return the newest checkpoint that is known, {} if none is.

    It is final while nothing has been learned since: a learner that runs, and has not said
    so itself, has taken that from it.
    """
    progress = observed.progress
    learners = [pod for pod in observed.pods_of("learner") if pod.phase == "Running"]
    spoke = progress is not None and any(pod.uid == progress.pod for pod in learners)
    unheard = not spoke and not all(pod.deleting for pod in learners)
    known = dict(stored.mapping(experiment.status.get("checkpoint")))
    if progress is not None and progress.checkpoint is not None and not (known and unheard):
        known = _written(progress.checkpoint, f"pvc/{child_name(experiment.name, 'learner')}")
    if known and unheard and stored.terminal(experiment.status) is None:
        known["final"] = False
    return known


def _written(checkpoint: Checkpoint, location: str) -> dict[str, Any]:
    return {
        "environmentSteps": _count(checkpoint.environment_steps),
        "learnerSteps": _count(checkpoint.learner_steps),
        "time": write_time(checkpoint.time),
        "final": checkpoint.final,
        "location": location,
    }
