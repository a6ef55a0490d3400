"""Experiments as the operator gets them, and plans of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, settings

from greenroom_operator.experiment import Experiment
from greenroom_operator.names import ROLES
from greenroom_operator.observed import Child, ChildKey, Decision, Manifest, Observed
from greenroom_operator.plan import plan
from greenroom_operator.settings import PlanOptions

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
OPTIONS = PlanOptions(
    worker_image="example.com/greenroom-worker:1.0", replay_image="example.com/greenroom-replay:1.0"
)
# However busy the machine is.
examples = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SPEC = {
    "environment": {"gymnasium": {"id": "CartPole-v1"}},
    "agent": {"dqn": {}},
    "stop": {"environmentSteps": 200_000},
}


def stored(document: Mapping[str, Any]) -> Experiment:
    """Return the experiment of a document, as if the API server held it."""
    metadata = {
        "namespace": "team",
        "uid": "7b1f9b57-2c0e-4f43-9d3c-0f8f0e6d2a11",
        "generation": 1,
        "creationTimestamp": "2026-11-24T11:00:00Z",
    }
    head = {"apiVersion": "greenroom.dev/v1alpha1", "kind": "RLExperiment"}
    return Experiment.from_object(
        {**head, **document, "metadata": {**metadata, **document["metadata"]}}
    )


def experiment(name: str = "cartpole", **spec: Any) -> Experiment:
    """Return a small experiment with some sections as given."""
    return stored({"metadata": {"name": name}, "spec": {**SPEC, **spec}})


def running(of: Experiment) -> Decision:
    """Return the decision to have all pods."""
    actors = of.resource.spec.actors.replicas
    return Decision({"replay": 1, "learner": 1, "actor": actors, "evaluator": 1}, "run")


def planned(
    of: Experiment,
    decision: Decision | None = None,
    options: PlanOptions = OPTIONS,
    children: Mapping[ChildKey, Child] | None = None,
) -> tuple[Manifest, ...]:
    """Return the plan of an experiment, by default as it begins."""
    return plan(of, decision or running(of), Observed(NOW, children=children or {}), options)


def by_key(manifests: tuple[Manifest, ...]) -> dict[ChildKey, Manifest]:
    """Return manifests by kind and name."""
    return {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in manifests}


def workloads(manifests: tuple[Manifest, ...]) -> dict[str, Manifest]:
    """Return the workloads by role."""
    label = "greenroom.dev/role"
    return {
        manifest["metadata"]["labels"][label]: manifest
        for manifest in manifests
        if manifest["kind"] in ("StatefulSet", "Deployment")
    }


def templates(manifests: tuple[Manifest, ...]) -> dict[str, dict[str, Any]]:
    """Return the pod templates by role."""
    return {role: found["spec"]["template"] for role, found in workloads(manifests).items()}


def digests(of: Experiment) -> dict[str, str]:
    """Return what tells whether a role's pods are rolled, by role."""
    found = templates(planned(of))
    assert found.keys() == set(ROLES)
    return {
        role: template["metadata"]["annotations"]["greenroom.dev/inputs"]
        for role, template in found.items()
    }
