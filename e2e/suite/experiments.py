"""One experiment on the cluster: applied, watched, disturbed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import yaml

from e2e.cluster.binaries import REPOSITORY
from e2e.cluster.cluster import Kubectl

ROLES = ("replay", "learner", "actors", "evaluator")
# Two cores are all that a small machine has, and the control plane asks for one of them.
_SMALL = {
    "spec": {
        "containers": [
            {"name": "worker", "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}}}
        ]
    }
}
# Each look is two processes of kubectl, on cores that the run needs.
_PAUSE = 2.0

Status = dict[str, Any]
Pod = dict[str, Any]


def example(name: str = "cartpole-dqn", **spec: object) -> dict[str, Any]:
    """The example CartPole by DQN, with small requests; `spec` takes the place of its fields."""
    document: dict[str, Any] = yaml.safe_load(
        (REPOSITORY / "examples" / "cartpole-dqn.yaml").read_text()
    )
    document["metadata"]["name"] = name
    document["spec"] |= spec
    for role in ROLES:
        document["spec"].setdefault(role, {})["podTemplate"] = _SMALL
    return document


class Experiment:
    """An experiment that was applied.

    run = Experiment(kubectl, example(stop={"environmentSteps": 10_000}))
    run.until(lambda status: status.get("learnerSteps", 0) > 0, 600.0, "it learns")
    run.patch({"suspend": True})
    """

    def __init__(self, kubectl: Kubectl, document: dict[str, Any]) -> None:
        self.name: str = document["metadata"]["name"]
        self._kubectl = kubectl
        self._said = ""
        kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(document))

    def status(self) -> Status:
        """Return its status; a line of `kubectl get` is printed when that has changed."""
        line = self._kubectl("get", "rlx", self.name, "--no-headers").rpartition(" ")[0].strip()
        if line != self._said:
            print(f"\n  {line}", end="", flush=True)
            self._said = line
        status: Status = self._kubectl.json("get", "rlx", self.name).get("status", {})
        return status

    def learner(self) -> Status:
        """Return what the learner itself says: the operator's status never takes steps back."""
        told: Status = json.loads(self._ask("learner", "status"))
        return told

    def inserts(self) -> int:
        """Return how many items came into replay since it began."""
        (line,) = (
            line
            for line in self._ask("replay", "metrics").splitlines()
            if line.startswith("greenroom_replay_inserts_total{")
        )
        return int(float(line.rpartition(" ")[2]))

    def _ask(self, role: str, what: str) -> str:
        """Return the answer of a role's HTTP port, through the API server."""
        pod = next(pod for pod in self.pods(role) if "deletionTimestamp" not in pod["metadata"])
        where = f"/api/v1/namespaces/{self._kubectl.namespace}/pods/{pod['metadata']['name']}"
        return self._kubectl("get", "--raw", f"{where}:8080/proxy/{what}")

    def patch(self, spec: dict[str, Any]) -> None:
        """Merge fields into its spec."""
        patch = yaml.safe_dump({"spec": spec})
        self._kubectl("patch", "rlx", self.name, "--type=merge", "--patch", patch)

    def until(self, met: Callable[[Status], bool], seconds: float, what: str) -> Status:
        """Return the first status of which `met` is true.

        Raises:
            AssertionError: none was in that time; the message has the last one.
        """
        deadline = time.monotonic() + seconds
        while not met(status := self.status()):
            assert time.monotonic() < deadline, f"{what} within {seconds:g} s: {status}"
            time.sleep(_PAUSE)
        print(f"\n* {what}", end="", flush=True)
        return status

    def goes_on(self, beyond: int, what: str) -> Status:
        """Return the first status that counts more environment steps than `beyond`."""
        return self.until(lambda status: steps(status) > beyond, 300.0, what)

    def is_back(self, role: str, killed: Pod, status: Status) -> bool:
        """Whether another container than the killed one serves, and all roles are ready."""
        (old,) = killed["status"]["containerStatuses"]
        serving = [
            container["containerID"]
            for pod in self.pods(role)
            for container in pod["status"].get("containerStatuses", ())
            if container["ready"]
        ]
        return bool(serving) and old["containerID"] not in serving and is_true("Ready")(status)

    def pods(self, role: str = "") -> list[Pod]:
        """Return the pods of a role (`actor`, `learner`, ...), or of all."""
        selector = f"app.kubernetes.io/instance={self.name}"
        if role:
            selector += f",app.kubernetes.io/component={role}"
        pods: list[Pod] = self._kubectl.json("get", "pods", f"--selector={selector}")["items"]
        return pods


def steps(status: Status) -> int:
    """Environment steps so far."""
    count: int = status.get("environmentSteps", 0)
    return count


def condition(status: Status, kind: str) -> dict[str, str]:
    """One of the conditions; empty if it is not there."""
    found: list[dict[str, str]] = status.get("conditions", [])
    return next((one for one in found if one["type"] == kind), {})


def is_true(kind: str) -> Callable[[Status], bool]:
    """Whether a condition is True, as a question to a status."""
    return lambda status: condition(status, kind).get("status") == "True"
