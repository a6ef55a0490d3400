"""In which order an experiment stops: actors and evaluator, then the learner, then replay.

Who produces leaves before who saves: the learner's last checkpoint counts every step that
actors took, and replay stays until the learner needs it no more. Each stage follows from
the pods that are there, so that it holds over restarts of the operator and needs no clock
but for one case: a pod whose grace period is long over, as on a node that is gone, is
waited for no longer.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, TypeAlias

from greenroom_operator.experiment import Experiment
from greenroom_operator.names import Role
from greenroom_operator.observed import Observed, Pod
from greenroom_operator.policies import workloads

Stage: TypeAlias = Literal["actors", "learner", "replay", "stopped"]

LOST_AFTER = timedelta(seconds=30)
"""After its grace period, a pod that is still there is on a node that does not answer."""

# A grace period longer than this is none: the clock here, or the API server's, was put back.
_LONGEST_GRACE = timedelta(days=7)


def is_lost(pod: Pod, observed: Observed) -> bool:
    """Return whether a pod should be gone, and is not."""
    if not pod.deleting or pod.leaves is None:
        return False
    overdue = observed.now - pod.leaves
    return overdue > LOST_AFTER or overdue < -_LONGEST_GRACE


def remaining(observed: Observed, *roles: Role) -> list[Pod]:
    """Return the pods of roles that run still, or may: those that ended or are lost do not."""
    return [
        pod
        for pod in observed.pods_of(*roles)
        if pod.phase not in ("Succeeded", "Failed") and not is_lost(pod, observed)
    ]


def stage(experiment: Experiment, observed: Observed) -> Stage:
    """Return who is to leave next."""
    if not _left(experiment, observed, "actor") or not _left(experiment, observed, "evaluator"):
        return "actors"
    if not _left(experiment, observed, "learner"):
        return "learner"
    return "stopped" if _left(experiment, observed, "replay") else "replay"


def stopping(experiment: Experiment, observed: Observed) -> dict[Role, int]:
    """Return the replicas of an experiment that stops, in its present stage."""
    now = stage(experiment, observed)
    learner = min(1, workloads.present(experiment, observed, "learner")) if now == "actors" else 0
    replay = 0
    if now in ("actors", "learner"):
        replay = min(1, workloads.present(experiment, observed, "replay"))
    return {"replay": replay, "learner": learner, "actor": 0, "evaluator": 0}


def _left(experiment: Experiment, observed: Observed, role: Role) -> bool:
    """Return whether a role has no pod, and its workload neither makes nor has one."""
    if remaining(observed, role):
        return False
    child = workloads.workload(experiment, observed, role)
    # A StatefulSet counts a pod that is lost, too.
    lost = sum(is_lost(pod, observed) for pod in observed.pods_of(role))
    return child is None or (not child.replicas and child.existing <= lost)
