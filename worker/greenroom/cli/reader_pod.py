"""A pod that reads an experiment's volume, for as long as somebody fetches from it.

The work is kubectl's, which has the user's credentials, plugins and proxies.
"""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

from greenroom.errors import GreenroomError

# As in greenroom_operator.names, which is another distribution.
GROUP: Final = "greenroom.dev"
RUN_DIRECTORY: Final = "/var/lib/greenroom/run"
VOLUME: Final = "/var/lib/greenroom"
USER: Final = 65_532

LONGEST_SECONDS: Final = 3_600
POLL_SECONDS: Final = 1.0


class Kubectl:
    """Runs kubectl.

        kubectl = Kubectl(namespace="team-a")
        pod = kubectl.json("get", "pod", "x")

    Args:
        namespace: None for the one of the user's context.
    """

    def __init__(self, namespace: str | None) -> None:
        self._command = ["kubectl", *(["--namespace", namespace] if namespace else [])]

    def start(self, *arguments: str, errors: int | IO[bytes]) -> subprocess.Popen[bytes]:
        """Start it, its output in a pipe, what goes wrong to ``errors``.

        Raises:
            GreenroomError: there is no kubectl.
        """
        pipe = subprocess.PIPE
        try:
            return subprocess.Popen(
                [*self._command, *arguments], stdin=pipe, stdout=pipe, stderr=errors
            )
        except FileNotFoundError as error:
            raise GreenroomError(
                "What is in a cluster is fetched by kubectl, which must be on PATH. Got: none."
            ) from error

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """Return what it prints.

        Raises:
            GreenroomError: it failed, with its words.
        """
        with self.start(*arguments, errors=subprocess.PIPE) as process:
            output, words = process.communicate(stdin.encode())
        if process.returncode:
            raise GreenroomError(f"kubectl {arguments[0]} failed: {last_words(words)}")
        return output.decode()

    def json(self, *arguments: str) -> Any:
        """Return the object that it prints."""
        return json.loads(self(*arguments, "--output=json"))


def last_words(output: bytes) -> str:
    """Return the line in which kubectl says what is wrong."""
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it did not say why"


def manifest(experiment: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the pod ``name`` that mounts the volume of ``experiment``, an RLExperiment.

    It goes by itself: after an hour, and with the experiment.

    Raises:
        GreenroomError: the experiment has no image yet, so that nothing ever ran.
    """
    metadata = experiment["metadata"]
    image = experiment.get("status", {}).get("images", {}).get("worker")
    if not image:
        raise GreenroomError(
            "There is something to fetch once an experiment has been started. Got: "
            f"{metadata['name']}, whose status names no image yet."
        )
    claim = f"{metadata['name']}-learner"
    learner = {f"{GROUP}/experiment": metadata["name"], f"{GROUP}/role": "learner"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {
                "app.kubernetes.io/name": "greenroom",
                "app.kubernetes.io/instance": metadata["name"],
                "app.kubernetes.io/component": "fetch",
                "app.kubernetes.io/part-of": "greenroom",
                "app.kubernetes.io/managed-by": "greenroom-fetch",
            },
            "ownerReferences": [
                {
                    "apiVersion": experiment["apiVersion"],
                    "kind": experiment["kind"],
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                }
            ],
        },
        "spec": {
            "activeDeadlineSeconds": LONGEST_SECONDS,
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "affinity": _beside(learner),
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [_container(image)],
            "volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
            ],
        },
    }


def _container(image: str) -> dict[str, Any]:
    return {
        "name": "reader",
        "image": image,
        "command": ["sleep", str(LONGEST_SECONDS)],
        "resources": {
            "requests": {"cpu": "50m", "memory": "32Mi"},
            "limits": {"memory": "128Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "data", "mountPath": VOLUME, "readOnly": True}],
    }


def _beside(learner: dict[str, str]) -> dict[str, Any]:
    """Prefer the node of a learner that runs: most volumes are of one node at a time."""
    term = {
        "labelSelector": {"matchLabels": learner},
        "topologyKey": "kubernetes.io/hostname",
    }
    return {
        "podAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 100, "podAffinityTerm": term}
            ]
        }
    }


@contextmanager
def reader_pod(
    kubectl: Kubectl, experiment: str, timeout: float, say: Callable[[str], None]
) -> Iterator[str]:
    """Have a pod that reads the volume, while the block runs; yields its name.

    Args:
        kubectl: in the experiment's namespace.
        experiment: its name.
        timeout: seconds until it must run.
        say: is told what it waits for, when that changes.

    Raises:
        GreenroomError: there is no such experiment or volume, or the pod does not start.
    """
    found = kubectl.json("get", f"rlexperiments.{GROUP}", experiment)
    kubectl("get", "persistentvolumeclaim", f"{experiment}-learner")
    name = f"{experiment}-fetch-{uuid.uuid4().hex[:8]}"
    pod = manifest(found, name)
    try:
        kubectl("create", "--filename=-", stdin=json.dumps(pod))
        _wait_until_it_runs(kubectl, name, timeout, say)
        yield name
    finally:
        try:
            kubectl("delete", "pod", name, "--wait=false", "--ignore-not-found")
        except GreenroomError as error:
            say(f"the pod {name} is left, and ends within an hour: {error}")


def _wait_until_it_runs(
    kubectl: Kubectl, name: str, timeout: float, say: Callable[[str], None]
) -> None:
    deadline, said = time.monotonic() + timeout, ""
    while True:
        status = kubectl.json("get", "pod", name)["status"]
        phase = status.get("phase", "Pending")
        if phase == "Running":
            return
        why = _why_not(status) or _warning(kubectl, name) or phase
        if phase in ("Failed", "Succeeded"):
            raise GreenroomError(f"The pod {name} must run until all is read. Got: {phase}: {why}.")
        if time.monotonic() > deadline:
            raise GreenroomError(
                f"The pod {name} must run within {timeout:g} s. Got: {why}. {_advice(why)}".strip()
            )
        if why != said:
            say(f"waiting for the pod {name}: {why}")
            said = why
        time.sleep(POLL_SECONDS)


def _advice(why: str) -> str:
    """Return what to do about the one cause that kubectl's words do not explain."""
    if "Multi-Attach" in why or "ReadWriteOncePod" in why or "volume node affinity" in why:
        return (
            "The volume is in use on another node, or can be used by one pod alone: suspend the "
            "experiment (spec.suspend: true) and fetch again."
        )
    return ""


def _why_not(status: dict[str, Any]) -> str:
    """Return the scheduler's or the kubelet's words."""
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return str(condition.get("message", condition.get("reason", "")))
    for container in status.get("containerStatuses", []):
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason", "ContainerCreating") != "ContainerCreating":
            return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    return str(status.get("message", ""))


def _warning(kubectl: Kubectl, name: str) -> str:
    """Return the newest warning among the pod's events: a volume that cannot be attached, say."""
    selector = f"--field-selector=involvedObject.name={name},type=Warning"
    events = kubectl.json("get", "events", selector)["items"]
    return str(events[-1]["message"]) if events else ""
