"""A pod's status from what its containers do; pure."""

from __future__ import annotations

from collections.abc import Sequence

from e2e.cluster.client import Object
from e2e.cluster.node.life import Life, now


def pod_status(
    pod: Object,
    inits: Sequence[Life],
    mains: Sequence[Life],
    addresses: dict[str, str],
    previous: Object,
) -> Object:
    """What kubelet would report; times of conditions that did not change are kept."""
    initialised = all(life.exit_code == 0 for life in inits)
    unready = [life.name for life in mains if not life.ready]
    phase = _phase(initialised, inits, mains)
    reason = "PodCompleted" if phase == "Succeeded" else "ContainersNotReady"
    why = {"reason": reason, "message": f"containers with unready status: [{' '.join(unready)}]"}
    conditions = [
        _condition("Initialized", initialised, {}, previous),
        _condition("ContainersReady", not unready, why, previous),
        _condition("Ready", not unready, why, previous),
    ]
    return {
        "phase": phase,
        "conditions": conditions,
        "hostIP": addresses["hostIP"],
        "podIP": addresses["podIP"],
        "podIPs": [{"ip": addresses["podIP"]}],
        "startTime": previous.get("startTime") or now(),
        "initContainerStatuses": [life.status() for life in inits],
        "containerStatuses": [life.status() for life in mains],
        "observedGeneration": pod["metadata"].get("generation", 1),
    }


def _phase(initialised: bool, inits: Sequence[Life], mains: Sequence[Life]) -> str:
    failed_early = any(life.over and life.exit_code != 0 for life in inits)
    if failed_early:
        return "Failed"
    if all(life.over for life in mains):
        return "Succeeded" if all(life.exit_code == 0 for life in mains) else "Failed"
    return "Running" if initialised and all(life.begun for life in mains) else "Pending"


def _condition(kind: str, true: bool, why_not: Object, previous: Object) -> Object:
    made = {"type": kind, "status": "True" if true else "False", **({} if true else why_not)}
    for old in previous.get("conditions", []):
        if old["type"] == kind and old["status"] == made["status"]:
            return made | {"lastTransitionTime": old["lastTransitionTime"]}
    return made | {"lastTransitionTime": now()}
