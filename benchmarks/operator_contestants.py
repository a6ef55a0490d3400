"""Who is measured: what a contestant's users create, and how its operator is started.

The operators differ in what they make of one object; `benchmarks/operator_peers.py` has those
that ours is compared with.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Protocol

import yaml

from benchmarks.load_client import NAMESPACE, Subject
from e2e.cluster.client import Object
from e2e.cluster.commands import Command
from greenroom_api.crd import custom_resource_definition
from greenroom_operator.kinds import CHILDREN, EXPERIMENT, OPTIONAL, SECRET
from greenroom_operator.names import EXPERIMENT_LABEL

LEAN = ("--no-network-policies", "--no-pod-disruption-budgets", "--no-pod-monitors")


class Contestant(Protocol):
    """An operator that can be measured."""

    @property
    def name(self) -> str:
        """With its version, as a table's heading."""

    @property
    def subject(self) -> Subject: ...

    def build(self) -> Path:
        """What is run, built first if it has to be."""

    def definitions(self) -> str:
        """Its CustomResourceDefinitions, YAML."""

    def body(self, name: str) -> Object:
        """An object that its users would create."""

    def command(self, kubeconfig: Path, port: int, folder: Path) -> Command:
        """The operator without leader election and webhooks, logging only what goes wrong.

        It answers `/readyz` at `port`; `folder` is for its files.
        """


class Greenroom:
    """Ours: a DQN experiment of two actors, a learner, replay and an evaluator."""

    name = "Greenroom"

    def __init__(self, lean: bool = False) -> None:
        self._flags = LEAN if lean else ()
        self.subject = Subject(
            EXPERIMENT,
            (SECRET, *(kind for kind in CHILDREN if kind not in OPTIONAL)),
            parent=lambda child: child["metadata"].get("labels", {}).get(EXPERIMENT_LABEL),
            ready=_ready,
        )

    def build(self) -> Path:
        return Path(sys.executable)

    def definitions(self) -> str:
        return yaml.safe_dump(custom_resource_definition())

    def body(self, name: str) -> Object:
        return {
            "apiVersion": EXPERIMENT.api_version,
            "kind": EXPERIMENT.kind,
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "environment": {"gymnasium": {"id": "CartPole-v1"}},
                "agent": {"dqn": {}},
                "actors": {"replicas": 2},
                "stop": {"environmentSteps": 200_000},
            },
        }

    def command(self, kubeconfig: Path, port: int, folder: Path) -> Command:
        return [
            *("env", f"KUBECONFIG={kubeconfig}"),
            *(self.build(), "-m", "greenroom_operator", "--no-leader-elect"),
            *("--http-port", str(port), "--log-level", "warning"),
            *("--progress-via", "pods", *self._flags),
        ]


def _ready(body: Object) -> bool:
    conditions = body.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
