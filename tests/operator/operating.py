"""What tests of the running operator look at: experiments, children, requests in the audit log."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster.cluster import Cluster, Kubectl

SECONDS = 60.0
# Who is answered more and more slowly waits for longer than what was to be answered took.
PATIENCE = 2 * SECONDS
PAUSE = 0.1
# On nodes of kwok there is nobody who could be asked; so it is not asked often.
SPEC = {
    "environment": {"gymnasium": {"id": "CartPole-v1"}},
    "agent": {"dqn": {}},
    "stop": {"environmentSteps": 200_000},
}
KINDS = "configmaps,persistentvolumeclaims,services,networkpolicies,statefulsets,deployments,pdb"
SELECTOR = "greenroom.dev/experiment"
WRITING = ("create", "update", "patch", "delete", "deletecollection")

ChildKey = tuple[str, str]


def eventually(look: Callable[[], Any], wanted: Callable[[Any], Any], seconds: float = SECONDS):
    """Look until what is seen is as wanted; return it."""
    deadline = time.monotonic() + seconds
    while not wanted(seen := look()):
        assert time.monotonic() < deadline, f"after {seconds:g} s it is still: {seen}"
        time.sleep(PAUSE)
    return seen


def document(name: str, **spec: Any) -> str:
    """Return a small experiment with some sections as given, as JSON."""
    return json.dumps(
        {
            "apiVersion": "greenroom.dev/v1alpha1",
            "kind": "RLExperiment",
            "metadata": {"name": name},
            "spec": {**SPEC, **spec},
        }
    )


def apply(kubectl: Kubectl, name: str, **spec: Any) -> None:
    """Apply a small experiment."""
    kubectl("apply", "--server-side", "-f", "-", stdin=document(name, **spec))


def ready(kubectl: Kubectl, name: str) -> None:
    """Wait until an experiment is ready."""
    kubectl("wait", f"rlx/{name}", "--for=condition=Ready", f"--timeout={SECONDS:g}s")


def complete(kubectl: Kubectl, name: str) -> dict[str, Any]:
    """Wait until all pods of an experiment are ready, which the status then says; return it."""

    def as_specified(seen: dict[str, Any]) -> bool:
        kinds = {entry["type"]: entry["reason"] for entry in seen.get("conditions", ())}
        return kinds.get("Progressing") == "AsSpecified"

    return eventually(lambda: status(kubectl, name), as_specified)


def status(kubectl: Kubectl, name: str) -> dict[str, Any]:
    """Return the status of an experiment, {} before the first."""
    found: dict[str, Any] = kubectl.json("get", "rlx", name).get("status", {})
    return found


def condition(kubectl: Kubectl, name: str, kind: str) -> tuple[str, str, str]:
    """Return status, reason and message of a condition."""
    for entry in status(kubectl, name).get("conditions", ()):
        if entry["type"] == kind:
            return entry["status"], entry["reason"], entry["message"]
    return "", "", ""


def children(kubectl: Kubectl, name: str) -> dict[ChildKey, dict[str, Any]]:
    """Return an experiment's children by kind and name."""
    items = kubectl.json("get", KINDS, "-l", f"{SELECTOR}={name}", "--show-managed-fields")
    return {(item["kind"], item["metadata"]["name"]): item for item in items["items"]}


def child_names(name: str) -> set[ChildKey]:
    """Return kinds and names of all that an experiment is made of, where there is no PodMonitor."""
    return {
        ("ConfigMap", f"{name}-experiment"),
        ("StatefulSet", f"{name}-replay"),
        ("Service", f"{name}-replay"),
        ("PersistentVolumeClaim", f"data-{name}-replay-0"),
        ("Deployment", f"{name}-learner"),
        ("Service", f"{name}-learner"),
        ("PersistentVolumeClaim", f"{name}-learner"),
        ("Deployment", f"{name}-actors"),
        ("Deployment", f"{name}-evaluator"),
        ("PodDisruptionBudget", f"{name}-actors"),
        ("PodDisruptionBudget", f"{name}-core"),
        ("NetworkPolicy", name),
    }


def events(kubectl: Kubectl, name: str) -> list[tuple[str, str]]:
    """Return reasons and messages of the events of an experiment."""
    items = kubectl.json("get", "events")["items"]
    return [
        (item["reason"], item["message"])
        for item in items
        if item["involvedObject"]["kind"] == "RLExperiment"
        and item["involvedObject"]["name"] == name
    ]


class Writes:
    """What operators wrote to a namespace since this was made, the Lease apart.

    writes = Writes(cluster, kubectl.namespace)
    ...
    assert writes.seen() == []
    """

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        if cluster.audit_log is None:
            pytest.skip("writes are counted in an audit log, which this cluster does not have")
        self._log, self._namespace = cluster.audit_log, namespace
        self._from = self._log.stat().st_size

    def seen(self) -> list[tuple[str, str, str, int]]:
        """Return verb, resource, name and answer of each."""
        return [
            (event["verb"], _resource(event), event["objectRef"].get("name", ""), _code(event))
            for event in self._events()
            if event["verb"] in WRITING and event["objectRef"].get("resource") != "leases"
        ]

    def _events(self) -> Iterator[dict[str, Any]]:
        for line in _lines(self._log, self._from):
            if f'"{self._namespace}"' in line and '"userAgent":"greenroom-operator"' in line:
                event: dict[str, Any] = json.loads(line)
                if event.get("objectRef", {}).get("namespace") == self._namespace:
                    yield event


def _lines(path: Path, start: int) -> list[str]:
    with path.open("rb") as log:
        log.seek(start)
        text = log.read()
    # The last one may be on its way.
    return text[: text.rfind(b"\n") + 1].decode().splitlines()


def _resource(event: dict[str, Any]) -> str:
    reference = event["objectRef"]
    below = reference.get("subresource")
    return f"{reference['resource']}/{below}" if below else str(reference["resource"])


def _code(event: dict[str, Any]) -> int:
    return int(event["responseStatus"]["code"])


def rest(writes: Writes, seconds: float) -> list[tuple[str, str, str, int]]:
    """Watch for so many seconds; return what was written then."""
    before = len(writes.seen())
    end = time.monotonic() + seconds
    while time.monotonic() < end and len(writes.seen()) == before:
        time.sleep(PAUSE)
    return writes.seen()[before:]


def quiet(writes: Writes, seconds: float = 1.5) -> None:
    """Wait until nothing has been written for so many seconds."""
    deadline = time.monotonic() + SECONDS
    while found := rest(writes, seconds):
        assert time.monotonic() < deadline, f"operators write on: {found}"
