"""What an experiment moves towards."""

from __future__ import annotations

from typing import Literal, TypeAlias

from greenroom_operator import names, stored
from greenroom_operator.experiment import Experiment

Goal: TypeAlias = Literal["run", "queue", "suspend", "succeed", "fail"]


def goal(experiment: Experiment) -> Goal:
    """Return the goal, as far as the experiment alone tells it: a queue may stand before "run".

    A terminal condition that is in the status stands above the spec.
    """
    ended = stored.terminal(experiment.status)
    if ended == names.SUCCEEDED:
        return "succeed"
    if ended == names.FAILED:
        return "fail"
    return "suspend" if experiment.resource.spec.suspend else "run"
