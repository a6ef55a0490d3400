"""The smallest experiment on a real API server, and what is asked of kubectl and of Python."""

from __future__ import annotations

import json
import time
from typing import Any, Protocol

from hypothesis import HealthCheck, settings

from e2e.cluster.cluster import Kubectl, KubectlError
from greenroom_api import InvalidExperiment, RLExperiment, parse_experiment
from greenroom_api.crd import custom_resource_definition

SCHEMA = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
BOUNDED = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))

SMALL: dict[str, Any] = {
    "apiVersion": "greenroom.dev/v1alpha1",
    "kind": "RLExperiment",
    "metadata": {"name": "cartpole"},
    "spec": {
        "environment": {"gymnasium": {"id": "CartPole-v1", "kwargs": {"gravity": {"x": 1}}}},
        "agent": {"dqn": {}},
        "stop": {"episodeReturn": 475, "environmentSteps": 200_000},
    },
}


class Try(Protocol):
    """Asks the server what it would make of an object: what it would store, or why not."""

    def __call__(self, document: dict[str, Any]) -> tuple[dict[str, Any] | None, str]: ...


def patiently(kubectl: Kubectl, *arguments: str) -> str:
    """A command's words; the server serves and publishes a new definition a moment later."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return kubectl(*arguments)
        except KubectlError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def patch(kubectl: Kubectl, spec: Any) -> None:
    kubectl("patch", "rlx", "cartpole", "--type=merge", "--patch", json.dumps({"spec": spec}))


def parse(document: dict[str, Any]) -> tuple[RLExperiment | None, str]:
    """What Python makes of a file, or of what the server stores, its own metadata aside."""
    written = {**document, "metadata": {"name": document["metadata"]["name"]}}
    try:
        return parse_experiment(written), ""
    except InvalidExperiment as error:
        return None, str(error)
