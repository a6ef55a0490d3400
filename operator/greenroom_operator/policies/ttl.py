"""When an experiment that has ended is deleted."""

from __future__ import annotations

from datetime import datetime

from greenroom_operator import stored
from greenroom_operator.experiment import Experiment


def remaining_seconds(experiment: Experiment, now: datetime) -> float | None:
    """Return how long an experiment that has ended is kept yet, None if for ever."""
    ttl = experiment.resource.spec.ttl_seconds_after_finished
    if ttl is None or stored.terminal(experiment.status) is None:
        return None
    completed = stored.time(experiment.status.get("completionTime"))
    # Without it there is nothing to count from; the next status has one.
    return None if completed is None else ttl - (now - completed).total_seconds()


def is_due(experiment: Experiment, now: datetime) -> bool:
    """Return whether an experiment is to be deleted now.

    Where the clock was put back, it is kept the longer: results are deleted too late rather
    than too early.
    """
    remaining = remaining_seconds(experiment, now)
    return remaining is not None and remaining <= 0
