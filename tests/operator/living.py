"""Experiments whose pods are real processes: how they are made, watched and disturbed."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import operating
import requests
from operating import eventually, status

from e2e.cluster.client import Api
from e2e.cluster.cluster import Kubectl
from e2e.cluster.processes import wait_until

# A role takes seconds to import torch, on a machine where other tests run.
SECONDS = 180.0
FLAGS = ("--progress-via=pods", "--progress-interval=2")
ENDLESS = 100_000_000

_ENVIRONMENT = [{"name": "PYTHONPATH", "value": str(Path(__file__).parent)}]
TEMPLATE = {"spec": {"containers": [{"name": "worker", "env": _ENVIRONMENT}]}}
ROLES = ("replay", "learner", "actor", "evaluator")


def apply(
    kubectl: Kubectl,
    name: str,
    *,
    steps: int = ENDLESS,
    factory: str = "Calm",
    learning_rate: float = 1e-3,
    **spec: Any,
) -> None:
    """Apply a small experiment that ends after so many steps; `spec`: more sections."""
    network = {"mlp": {"hiddenSizes": [32]}}
    operating.apply(
        kubectl,
        name,
        environment={"factory": f"life_environments:{factory}"},
        agent={"dqn": {"batchSize": 32, "learningRate": learning_rate, "network": network}},
        replay={"minSize": 200, "maxSize": 5000, "samplesPerInsert": 8, "errorBuffer": 800},
        learner={"podTemplate": TEMPLATE},
        actors={"replicas": 1, "podTemplate": TEMPLATE},
        evaluator={"episodes": 1, "interval": 500, "podTemplate": TEMPLATE},
        stop={"environmentSteps": steps},
        **spec,
    )


def patch(kubectl: Kubectl, name: str, spec: str) -> None:
    """Change an experiment's spec by a merge patch."""
    kubectl("patch", "rlx", name, "--type=merge", f'--patch={{"spec": {spec}}}')


def phase(kubectl: Kubectl, name: str, wanted: str) -> dict[str, Any]:
    """Wait for a phase; return the status that has it."""
    ended = {"Succeeded", "Failed"} - {wanted}

    def reached(seen: dict[str, Any]) -> bool:
        assert seen.get("phase") not in ended, f"{wanted} is waited for, but it is: {seen}"
        return seen.get("phase") == wanted

    return eventually(lambda: status(kubectl, name), reached, SECONDS)


def steps_beyond(kubectl: Kubectl, name: str, count: int) -> dict[str, Any]:
    """Wait until the status shows more environment steps; return it."""
    return eventually(
        lambda: status(kubectl, name),
        lambda seen: seen.get("environmentSteps", 0) > count and "episodeReturn" in seen,
        SECONDS,
    )


def pods(kubectl: Kubectl, name: str) -> list[tuple[str, bool]]:
    """Return the role of each pod of an experiment, and whether it is leaving."""
    items = kubectl.json("get", "pods", "-l", f"{operating.SELECTOR}={name}")["items"]
    return [
        (pod["metadata"]["labels"]["greenroom.dev/role"], "deletionTimestamp" in pod["metadata"])
        for pod in items
    ]


def pod(kubectl: Kubectl, name: str, role: str) -> dict[str, Any]:
    """Return the one pod of a role."""
    selector = f"{operating.SELECTOR}={name},greenroom.dev/role={role}"
    (found,) = kubectl.json("get", "pods", "-l", selector)["items"]
    return dict(found)


def wait_leaving(kubectl: Kubectl, name: str, role: str) -> None:
    """Return as soon as the pod of a role is to leave: before its process can know of it."""
    place = f"/api/v1/namespaces/{kubectl.namespace}/pods"
    selector = f"{operating.SELECTOR}={name},greenroom.dev/role={role}"
    # Not by kubectl, whose start takes longer than a process that ends.
    with Api.of(kubectl.kubeconfig) as api:

        def leaves() -> bool:
            found = api.get(place, labelSelector=selector)["items"]
            return any("deletionTimestamp" in pod["metadata"] for pod in found)

        wait_until(leaves, SECONDS, f"{role} leaves")


def learner_says(kubectl: Kubectl, name: str) -> dict[str, Any]:
    """Ask the learner's pod, as the operator does."""
    address = pod(kubectl, name, "learner")["status"]["podIP"]
    return dict(requests.get(f"http://{address}:8080/status", timeout=10).json())


def process(kubectl: Kubectl, name: str, role: str) -> int:
    """Return the process of a role: the one that has its pod's uid, as its cgroup would tell."""
    uid = pod(kubectl, name, role)["metadata"]["uid"]
    wanted = f"greenroom\0role\0{role}\0"
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command, mounts = (path / "cmdline").read_text(), (path / "mountinfo").read_text()
        except OSError:
            continue
        if command.endswith(wanted) and "python" in command and uid in mounts:
            return int(path.name)
    raise LookupError(f"there is no process of {role}, pod {uid}")


def signal_role(kubectl: Kubectl, name: str, role: str, number: signal.Signals) -> int:
    """Send a signal to a role's process; return its number."""
    found = process(kubectl, name, role)
    os.kill(found, number)
    return found


def restarted(kubectl: Kubectl, name: str, role: str, count: int) -> bool:
    """Return whether the container of a role was started again so often, and is ready."""
    (container,) = pod(kubectl, name, role)["status"]["containerStatuses"]
    return bool(container["restartCount"] == count and container["ready"])


def volume(kubectl: Kubectl, claim: str) -> Path:
    """Return the folder of a volume claim."""
    name = kubectl.json("get", "pvc", claim)["spec"]["volumeName"]
    return Path(kubectl.json("get", "pv", name)["spec"]["hostPath"]["path"])


def claims(kubectl: Kubectl, name: str) -> set[str]:
    """Return the volume claims of an experiment that are not being deleted."""
    items = kubectl.json("get", "pvc", "-l", f"{operating.SELECTOR}={name}")["items"]
    return {
        item["metadata"]["name"] for item in items if "deletionTimestamp" not in item["metadata"]
    }


def is_gone(kubectl: Kubectl, name: str) -> bool:
    """Return whether there is no such experiment."""
    return not kubectl("get", "rlx", name, "--ignore-not-found", "--output=name")
