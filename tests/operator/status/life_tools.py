"""Experiments, pods and statuses, as short as a test wants them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from greenroom_operator import names, stored
from greenroom_operator.experiment import Experiment
from greenroom_operator.names import ROLES, Role, child_name
from greenroom_operator.observed import (
    Checkpoint,
    Child,
    ChildKey,
    Observed,
    Pod,
    Progress,
)
from greenroom_operator.policies import decide
from greenroom_operator.status import make_status

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
UID = "1d0a"
ALL: dict[Role, int] = {"replay": 1, "learner": 1, "actor": 2, "evaluator": 1}
NONE: dict[Role, int] = dict.fromkeys(ROLES, 0)
KINDS: dict[Role, str] = {
    "replay": "StatefulSet",
    "learner": "Deployment",
    "actor": "Deployment",
    "evaluator": "Deployment",
}


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def claim(name: str, phase: str) -> dict[ChildKey, Child]:
    """A volume claim, as a child."""
    return {("PersistentVolumeClaim", name): Child(uid="c", bound=phase)}


def experiment(
    status: Mapping[str, Any] | None = None,
    *,
    actors: int = 2,
    generation: int = 1,
    deleting: bool = False,
    **spec: Any,
) -> Experiment:
    """An experiment x; ``spec`` in camelCase."""
    body = {
        "apiVersion": "greenroom.dev/v1alpha1",
        "kind": "RLExperiment",
        "metadata": {
            "name": "x",
            "namespace": "team",
            "uid": UID,
            "generation": generation,
            "creationTimestamp": stored.write_time(NOW),
        },
        "spec": {
            "environment": {"gymnasium": {"id": "CartPole-v1"}},
            "agent": {"dqn": {}},
            "actors": {"replicas": actors},
            "stop": {"environmentSteps": 200_000},
            **spec,
        },
    }
    if deleting:
        body["metadata"]["deletionTimestamp"] = stored.write_time(NOW)
    return replace(Experiment.from_object(body), status=status or {})


def pod(role: Role, number: int = 0, **fields: Any) -> Pod:
    """A pod that is ready, unless said otherwise."""
    name = f"{child_name('x', role)}-{number}"
    usual = {"name": name, "uid": f"uid-{name}", "phase": "Running", "ready": True}
    return Pod(role=role, **({**usual, "ip": f"10.0.0.{number + 1}"} | fields))


def pending(role: Role, number: int = 0, **fields: Any) -> Pod:
    return pod(role, number, **({"phase": "Pending", "ready": False} | fields))


def broken(role: Role, number: int = 0, **fields: Any) -> Pod:
    """A pod whose container does not work."""
    return pod(role, number, **({"ready": False} | fields))


def leaving(role: Role, number: int = 0, **fields: Any) -> Pod:
    return pod(role, number, **({"deleting": True, "leaves": after(30), "ready": False} | fields))


def all_pods(actors: int = 2, *instead: Pod) -> tuple[Pod, ...]:
    """All pods of an experiment, some of them instead of those that are ready."""
    pods = {
        made.name: made
        for made in (
            *(pod("actor", number) for number in range(actors)),
            pod("evaluator"),
            pod("learner"),
            pod("replay"),
            *instead,
        )
    }
    return tuple(pods[name] for name in sorted(pods))


def workloads(replicas: Mapping[Role, int], **existing: int) -> dict[ChildKey, Child]:
    """Workloads that are told to have so many pods, and have them."""
    return {
        (KINDS[role], child_name("x", role)): Child(
            uid=f"uid-{role}",
            owner=UID,
            replicas=number,
            existing=existing.get(role, number),
        )
        for role, number in replicas.items()
    }


def seen(
    pods: tuple[Pod, ...] = (),
    replicas: Mapping[Role, int] | None = None,
    *,
    now: datetime = NOW,
    children: Mapping[ChildKey, Child] | None = None,
    **fields: Any,
) -> Observed:
    made = {} if replicas is None else workloads(replicas)
    return Observed(now=now, pods=pods, children=made | dict(children or {}), **fields)


def progress(state: str = "training", seconds: float = 0.0, **fields: Any) -> Progress:
    usual = {"pod": "uid-x-learner-0", "environment_steps": 1_000, "learner_steps": 100}
    return Progress(time=after(seconds), state=state, **(usual | fields))  # type: ignore[arg-type]


def saved(*, final: bool, steps: int = 1_000, seconds: float = 0.0) -> Checkpoint:
    return Checkpoint(steps, steps // 10, after(seconds), final)


def status_of(made: Experiment, observed: Observed) -> dict[str, Any]:
    """The status that a reconcile of an experiment writes."""
    return make_status(made, observed, decide(made, observed))


def running_status(made: Experiment | None = None, **fields: Any) -> dict[str, Any]:
    """The status of an experiment that runs well since NOW."""
    return status_of(made or experiment(), seen(all_pods(), ALL, **fields))


def condition(status: Mapping[str, Any], kind: str) -> tuple[str, str, str]:
    """Status, reason and message of a condition."""
    found = stored.condition(status, kind)
    return found["status"], found["reason"], found["message"]


def latched(kind: str, seconds: float = 0.0) -> dict[str, Any]:
    """A status with a terminal condition."""
    return {
        "phase": kind,
        "completionTime": stored.write_time(after(seconds)),
        "conditions": [
            {
                "type": kind,
                "status": "True",
                "reason": "StopConditionMet" if kind == names.SUCCEEDED else "CannotGoOn",
                "message": "it ended",
                "lastTransitionTime": stored.write_time(after(seconds)),
                "observedGeneration": 1,
            }
        ],
    }
