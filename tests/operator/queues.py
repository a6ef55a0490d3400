"""Queues of Kueue's, and experiments that wait in them."""

from __future__ import annotations

import json
from typing import Any

from operating import SPEC, condition, eventually

from e2e.cluster.cluster import Kubectl, KubectlError

KUEUE = "kueue.x-k8s.io/v1beta2"
QUEUE = "kueue.x-k8s.io/queue-name"
# What one experiment of two actors asks for, and no second one beside it gets.
CPU_OF_ONE = "3500m"
FLAVOR = {
    "nodeLabels": {"type": "kwok"},
    "tolerations": [{"key": "reserved", "operator": "Exists", "effect": "NoSchedule"}],
}


def queue(kubectl: Kubectl, cpu: str = CPU_OF_ONE) -> str:
    """Make a queue with so much quota for the namespace; return its name."""
    name = f"quota-{kubectl.namespace}"
    quotas = [{"name": "cpu", "nominalQuota": cpu}, {"name": "memory", "nominalQuota": "1Ti"}]
    group = {
        "coveredResources": ["cpu", "memory"],
        "flavors": [{"name": name, "resources": quotas}],
    }
    for kind, metadata, spec in (
        ("ResourceFlavor", {"name": name}, FLAVOR),
        ("ClusterQueue", {"name": name}, {"namespaceSelector": {}, "resourceGroups": [group]}),
        ("LocalQueue", {"name": "team", "namespace": kubectl.namespace}, {"clusterQueue": name}),
    ):
        body = {"apiVersion": KUEUE, "kind": kind, "metadata": metadata, "spec": spec}
        kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(body))
    return "team"


def experiment(name: str, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A small experiment that waits in the queue `team`."""
    return {
        "apiVersion": "greenroom.dev/v1alpha1",
        "kind": "RLExperiment",
        "metadata": {"name": name, "labels": {QUEUE: "team"} if labels is None else labels},
        "spec": {**SPEC, "actors": {"replicas": 2}, **spec},
    }


def put(kubectl: Kubectl, document: dict[str, Any]) -> str:
    """Apply an experiment; return its name."""
    kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(document))
    name: str = document["metadata"]["name"]
    return name


def admitted(kubectl: Kubectl, name: str, status: str, reason: str, words: str = "") -> str:
    """Wait until its condition Admitted says so; return the message."""
    seen = eventually(
        lambda: condition(kubectl, name, "Admitted"),
        lambda seen: seen[:2] == (status, reason) and words in seen[2],
    )
    return str(seen[2])


def pods(kubectl: Kubectl, name: str) -> list[dict[str, Any]]:
    """Its pods."""
    found = kubectl.json("get", "pods", f"--selector=greenroom.dev/experiment={name}")
    items: list[dict[str, Any]] = found["items"]
    return items


def workload(kubectl: Kubectl, name: str) -> dict[str, Any]:
    """Its Workload, {} if there is none."""
    try:
        return dict(kubectl.json("get", "workloads.v1beta2.kueue.x-k8s.io", f"rlexperiment-{name}"))
    except KubectlError as error:
        if "NotFound" in str(error):
            return {}
        raise


def said(kubectl: Kubectl, name: str, kind: str) -> tuple[str, str]:
    """Status and reason of a condition of its Workload."""
    for entry in workload(kubectl, name).get("status", {}).get("conditions", ()):
        if entry["type"] == kind:
            return entry["status"], entry["reason"]
    return "", ""
