"""A run of real processes, as the targets that a PodMonitor would make of its pods."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from plan_tools import by_key, planned, stored, templates
from prometheus_server import Prometheus, Target

from e2e.cluster.processes import wait_until
from greenroom.launch.ports import ReservedPorts
from greenroom.launch.processes import Role, make_roles
from greenroom.observability.run_directory import RunDirectory
from greenroom.roles import settings
from greenroom_api import parse_experiment

NAMESPACE, EXPERIMENT = "research", "small"
RULES = Path(__file__).parents[2] / "charts" / "greenroom" / "files" / "rules.yaml"
# A learner there stays after its end, and keeps the logs of others.
AS_IN_PODS = {settings.STAY: "1", settings.SHIP_LOGS: "1"}
SPEC = {
    "environment": {"gymnasium": {"id": "CartPole-v1"}},
    "agent": {"dqn": {"batchSize": 8, "network": {"mlp": {"hiddenSizes": [16]}}}},
    "replay": {"samplesPerInsert": 2, "minSize": 100, "maxSize": 600, "errorBuffer": 40},
    "evaluator": {"episodes": 2, "interval": 500},
    "checkpoint": {"interval": "1s"},
    "stop": {"environmentSteps": 100_000_000},
}


@contextmanager
def training(folder: Path) -> Iterator[tuple[dict[str, Role], Prometheus]]:
    """Every role, as a process, and a Prometheus that scrapes them; by role names."""
    experiment = parse_experiment(
        {
            "apiVersion": "greenroom.dev/v1alpha1",
            "kind": "RLExperiment",
            "metadata": {"name": EXPERIMENT},
            "spec": SPEC,
        }
    )
    with ReservedPorts() as ports:
        with patch.dict(os.environ, AS_IN_PODS):
            roles = make_roles(experiment, RunDirectory.at(folder / "run"), ports)
        monitored = _labels_of_pods()
        targets = [_target(name, role, monitored) for name, role in roles.items()]
        try:
            for role in roles.values():
                role.process.start()
            with Prometheus(folder / "prometheus", targets, [RULES]) as prometheus:
                wait_until(prometheus.ready, 90, "Prometheus is ready")
                yield roles, prometheus
        finally:
            for role in roles.values():
                role.process.kill()


def _labels_of_pods() -> dict[str, dict[str, str]]:
    """By role: the labels that the operator's PodMonitor copies from pods to their series."""
    manifests = planned(stored({"metadata": {"name": EXPERIMENT}, "spec": SPEC}))
    wanted = by_key(manifests)["PodMonitor", EXPERIMENT]["spec"]["podTargetLabels"]
    pods = {role: pod["metadata"]["labels"] for role, pod in templates(manifests).items()}
    # As Prometheus' operator writes their names.
    return {
        role: {re.sub(r"\W", "_", name): labels[name] for name in wanted}
        for role, labels in pods.items()
    }


def _target(name: str, role: Role, monitored: Mapping[str, Mapping[str, str]]) -> Target:
    return Target(
        role.http_port,
        {
            "job": f"{NAMESPACE}/{EXPERIMENT}",
            "namespace": NAMESPACE,
            "pod": f"{EXPERIMENT}-{name}",
            "container": "worker",
            **monitored[name.partition("-")[0]],
        },
    )
