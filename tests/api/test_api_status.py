"""An experiment's status on the API server: stored whole, shown, refused; and its scale."""

from __future__ import annotations

import json
from typing import Any

import pytest
from api_server_tools import BOUNDED, SCHEMA, patch
from api_strategies import from_schema, spoilt
from hypothesis import given
from hypothesis import strategies as st
from kubernetes import client
from pydantic import ValidationError

from e2e.cluster.cluster import Kubectl, KubectlError
from greenroom_api import ExperimentStatus
from greenroom_api.crd import PLURAL
from greenroom_api.experiment import GROUP, VERSION

STATUS: dict[str, Any] = {
    "observedGeneration": 1,
    "phase": "Running",
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "reason": "AllRolesReady",
            "message": "3 of 3 actors run",
        }
    ],
    "images": {"worker": "worker:1", "replay": "replay:1"},
    "admission": {
        "workload": "7b1f",
        "time": "2026-01-01T00:00:00Z",
        "clusterQueue": "research",
        "podSets": [
            {
                "name": "learner",
                "count": 1,
                "nodeSelector": {"cloud.example.com/pool": "gpus"},
                "tolerations": [{"key": "gpu", "operator": "Exists", "tolerationSeconds": 2**40}],
                "labels": {"cloud.example.com/reserved": "yes"},
                "annotations": {"cloud.example.com/request": "r1"},
            }
        ],
    },
    "tokenSecret": "cartpole-token",
    "environmentSteps": 1234,
    "learnerSteps": 617,
    "episodeReturn": 312.5,
    "environmentStepsPerSecond": 1250,
    "learnerStepsPerSecond": 625,
    "samplesPerInsert": 31.9,
    "bottleneck": "acting",
    "actors": {"desired": 3, "replicas": 3, "ready": 2, "selector": "greenroom.dev/role=actor"},
    "checkpoint": {
        "environmentSteps": 1000,
        "learnerSteps": 500,
        "time": "2026-01-01T00:00:00Z",
        "final": False,
        "location": "cartpole-learner",
    },
    "startTime": "2026-01-01T00:00:00Z",
    "completionTime": "2026-01-01T00:00:00Z",
    "progressTime": "2026-01-01T00:00:00Z",
    "failures": 1,
    "restarts": [{"uid": "0-1", "count": 1}],
}


COLUMNS = ["NAME", "STATE", "STEPS", "RETURN", "SPS", "ACTORS", "BOTTLENECK", "AGE"]


def write_status(kubectl: Kubectl, status: Any) -> None:
    text = json.dumps({"status": status})
    kubectl("patch", "rlx/cartpole", "--subresource=status", "--type=merge", "--patch", text)


def test_status_is_stored_whole_and_shown(stored: Kubectl) -> None:
    assert ExperimentStatus.model_fields.keys() == {
        name for name, field in ExperimentStatus.model_fields.items() if field.alias in STATUS
    }, "every field of status is tried"
    write_status(stored, STATUS)
    after = stored.json("get", "rlx", "cartpole")
    assert after["status"] == STATUS
    assert after["metadata"]["generation"] == 1, "status is a sub-resource"
    stored("wait", "--for=condition=Ready", "rlx/cartpole", "--timeout=30s")
    # What is written to the object itself leaves status alone.
    patch(stored, {"suspend": True})
    assert stored.json("get", "rlx", "cartpole")["status"] == STATUS

    header, row = stored("get", "rlx").splitlines()
    assert header.split() == COLUMNS
    assert row.split()[:7] == ["cartpole", "Running", "1234", "312.5", "1250", "2", "acting"]
    header, row = stored("get", "rlexperiments", "-o", "wide").splitlines()
    assert header.split()[8:] == ["LEARNER-STEPS", "SPI", "MESSAGE"]
    assert "3 of 3 actors run" in row
    assert "cartpole" in stored("get", "all")


@BOUNDED
@given(status=from_schema(SCHEMA["properties"]["status"]), data=st.data())
def test_status_means_the_same_to_model_and_server(
    status: dict[str, Any],
    data: st.DataObject,
    objects: client.CustomObjectsApi,
    filled: tuple[str, dict[str, Any]],
) -> None:
    namespace, body = filled
    if data.draw(st.booleans()):
        status = data.draw(spoilt({"spec": status}))["spec"]
    try:
        ExperimentStatus.model_validate(status)
    except ValidationError:
        return  # the server is less strict: it drops nulls, for one
    objects.replace_namespaced_custom_object_status(
        GROUP, VERSION, namespace, PLURAL, "cartpole", body | {"status": status}, dry_run="All"
    )


@pytest.fixture
def filled(stored: Kubectl) -> tuple[str, dict[str, Any]]:
    """The namespace that holds SMALL, and what is stored of it."""
    return stored.namespace, stored.json("get", "rlx", "cartpole")


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Fine"},
        {"bottleneck": "replay"},
        {"failures": -1},
        {"startTime": "yesterday"},
        {"conditions": [{"type": "Ready", "status": "True"}]},
        {"conditions": [STATUS["conditions"][0]] * 2},
        {"conditions": [STATUS["conditions"][0] | {"reason": "two words"}]},
        {"restarts": [{"uid": "a", "count": 1}, {"uid": "a", "count": 2}]},
    ],
)
def test_a_status_that_says_nothing_sensible_is_refused(stored: Kubectl, status: Any) -> None:
    with pytest.raises(ValidationError):
        ExperimentStatus.model_validate(status)
    with pytest.raises(KubectlError, match=r"status\."):
        write_status(stored, status)


def test_actors_are_scaled_through_the_sub_resource(stored: Kubectl) -> None:
    write_status(stored, STATUS)
    stored("scale", "rlx/cartpole", "--replicas=8")
    assert stored.json("get", "rlx", "cartpole")["spec"]["actors"]["replicas"] == 8
    path = f"/apis/{GROUP}/{VERSION}/namespaces/{stored.namespace}/{PLURAL}/cartpole/scale"
    scale = json.loads(stored("get", "--raw", path))
    assert scale["spec"] == {"replicas": 8}
    assert scale["status"] == {"replicas": 3, "selector": "greenroom.dev/role=actor"}
    with pytest.raises(KubectlError, match=r"spec\.actors\.replicas.*greater than or equal to 1"):
        stored("scale", "rlx/cartpole", "--replicas=0")
