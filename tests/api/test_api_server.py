"""The definition on a real API server: what it accepts, fills in, refuses and says."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml
from api_strategies import documents, experiments, from_schema, spoilt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes import client, config
from pydantic import ValidationError

from e2e.cluster.cluster import Cluster, Kubectl, KubectlError
from greenroom_api import ExperimentStatus, InvalidExperiment, RLExperiment, parse_experiment
from greenroom_api.crd import PLURAL, custom_resource_definition
from greenroom_api.experiment import GROUP, VERSION

ROOT = Path(__file__).parents[2]
CRD = ROOT / "crds" / "rlexperiments.yaml"
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
    deadline = time.monotonic() + 30
    while True:
        try:
            return kubectl(*arguments)
        except KubectlError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


@pytest.fixture(scope="module")
def admin(cluster: Cluster) -> Kubectl:
    """kubectl on a cluster that knows RLExperiments."""
    kubectl = cluster.kubectl()
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))
    patiently(
        kubectl, "wait", "--for=condition=Established", f"crd/{PLURAL}.{GROUP}", "--timeout=30s"
    )
    return kubectl


@pytest.fixture(scope="module")
def objects(cluster: Cluster, admin: Kubectl) -> Iterator[client.CustomObjectsApi]:
    with config.new_client_from_config(str(cluster.kubeconfig)) as connection:
        yield client.CustomObjectsApi(connection)


@pytest.fixture
def attempt(objects: client.CustomObjectsApi, namespace: str) -> Try:
    def create(document: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
        try:
            stored = objects.create_namespaced_custom_object(
                GROUP,
                VERSION,
                namespace,
                PLURAL,
                document,
                dry_run="All",
                field_validation="Strict",
            )
        except client.ApiException as error:
            if error.status not in (400, 422):
                raise
            return None, json.loads(error.body)["message"]
        assert isinstance(stored, dict)
        return stored, ""

    return create


def parse(document: dict[str, Any]) -> tuple[RLExperiment | None, str]:
    """What Python makes of a file, or of what the server stores, its own metadata aside."""
    written = {**document, "metadata": {"name": document["metadata"]["name"]}}
    try:
        return parse_experiment(written), ""
    except InvalidExperiment as error:
        return None, str(error)


def loosely_written(value: Any) -> bool:
    """Whether a null or a whole number with a point is in it.

    Both are refused in a file, for they tell of a mistake; the server drops the one and stores
    the other without its point, so that neither is ever seen of an object.
    """
    if isinstance(value, dict | list):
        items = value.values() if isinstance(value, dict) else value
        return any(map(loosely_written, items))
    return value is None or (isinstance(value, float) and value.is_integer())


def assert_agreement(document: dict[str, Any], attempt: Try) -> None:
    ours, refusal = parse(document)
    stored, answer = attempt(copy.deepcopy(document))
    if ours is not None:
        assert stored is not None, f"Python accepts it, the server says: {answer}"
        assert parse(stored) == (ours, ""), "defaults filled in there and here differ"
    elif stored is not None:
        assert loosely_written(document["spec"]), f"the server accepts it, Python says: {refusal}"
        assert parse(stored)[0] is not None


def test_the_definition_is_accepted_as_structural(admin: Kubectl) -> None:
    stored = admin.json("get", "crd", f"{PLURAL}.{GROUP}")
    conditions = {item["type"]: item["status"] for item in stored["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert len(json.dumps(stored)) < 600_000


def explained(kubectl: Kubectl, field: str) -> str:
    return " ".join(patiently(kubectl, "explain", field).split())


def test_explain_reads_as_documentation(admin: Kubectl) -> None:
    said = explained(admin, "rlx.spec.replay.samplesPerInsert")
    assert "FIELD: samplesPerInsert <number>" in said
    assert "How often an item is sampled on average." in said
    assert "partial PodTemplateSpec" in explained(admin, "rlx.spec.actors.podTemplate")
    assert "nodeSelector" in explained(admin, "rlx.spec.actors.podTemplate.spec")
    assert "the other one waits for" in explained(admin, "rlx.status")


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.yaml")), ids=str)
def test_every_example_is_accepted(path: Path, attempt: Try) -> None:
    assert_agreement(yaml.safe_load(path.read_text()), attempt)


@BOUNDED
@given(document=documents())
def test_what_is_valid_is_stored_as_the_same_experiment(
    document: dict[str, Any], attempt: Try
) -> None:
    assert parse(document)[0] is not None
    assert_agreement(document, attempt)


@BOUNDED
@given(document=experiments(SCHEMA))
def test_rules_between_fields_are_the_same_in_cel_and_python(
    document: dict[str, Any], attempt: Try
) -> None:
    assert_agreement(document, attempt)


@BOUNDED
@given(document=documents().flatmap(spoilt))
def test_what_python_refuses_the_server_refuses(document: dict[str, Any], attempt: Try) -> None:
    assert_agreement(document, attempt)


def changed(path: str, value: Any) -> dict[str, Any]:
    """SMALL with one field set; None removes it."""
    document = copy.deepcopy(SMALL)
    *above, last = path.split(".")
    where = document
    for key in above:
        where = where.setdefault(key, {})
    where[last] = value
    return document


WORKER = {"containers": [{"name": "worker", "command": ["sh"], "ports": [{"containerPort": 1}]}]}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("metadata.name", "a" * 46, "metadata.name: Too long: may not be more than 45 bytes"),
        ("metadata.name", "0a", 'metadata.name: Invalid value: "0a"'),
        ("spec.agent.dqn.learningrate", 1, 'unknown field "spec.agent.dqn.learningrate"'),
        ("spec.stop", {"environmentSteps": 9}, "spec.stop.environmentSteps: Invalid value: "
         '"object": stop.environmentSteps must exceed replay.minSize, or learning never starts. '
         "Got: environmentSteps=9, minSize=1000."),
        ("spec.agent", {"dqn": {}, "impala": {}}, "spec.agent: Invalid value: \"object\": exactly "
         "one of dqn, impala, custom must be set."),
        ("spec.replay.rateLimiter", "Queue", "maxSize must be set with rateLimiter Queue"),
        ("spec.learner.replicas", 2, "replicas must be 1 until learners can share the work of one "
         "experiment. Got: replicas=2."),
        ("spec.resumeFrom.experiment", "cartpole", "experiment must be another one than the "
         "experiment itself, which goes on by itself. Got: experiment=cartpole."),
        ("spec.checkpoint.storage.size", "5G", 'spec.checkpoint.storage.size: Invalid value: "5G"'),
        ("spec.actors.podTemplate.specs", {}, 'unknown field "spec.actors.podTemplate.specs"'),
        ("spec.actors.podTemplate.spec.nodeSelectr", {}, "unknown field "
         '"spec.actors.podTemplate.spec.nodeSelectr"'),
        ("spec.actors.podTemplate.spec.containers", [{}], "spec.actors.podTemplate.spec.containers"
         "[0].name: Required value"),
        ("spec.actors.podTemplate.spec", WORKER, "command must not be set for container worker: it "
         'is Greenroom\'s own. Got: command=["sh"].'),
        ("spec.actors.podTemplate.spec", WORKER, "ports must not be set for container worker"),
        ("spec.actors.podTemplate.metadata.labels", {"greenroom.dev/role": "x"}, "labels must not "
         'hold Greenroom\'s own. Got: labels=["greenroom.dev/role"].'),
    ],
)  # fmt: skip
def test_a_refusal_states_rule_and_value(
    path: str, value: Any, expected: str, attempt: Try
) -> None:
    stored, answer = attempt(changed(path, value))
    assert stored is None
    assert expected in answer
    assert parse(changed(path, value))[0] is None


def test_names_that_the_server_makes_up_keep_the_rule(attempt: Try) -> None:
    stored, answer = attempt(SMALL | {"metadata": {"generateName": "a" * 41}})
    assert stored is None
    assert "may not be more than 45 bytes" in answer
    stored, _ = attempt(SMALL | {"metadata": {"generateName": "sweep-"}})
    assert stored is not None
    assert parse(stored)[0] is not None


def test_kubectl_refuses_a_misspelt_hyperparameter(admin: Kubectl, kubectl: Kubectl) -> None:
    text = json.dumps(changed("spec.agent.dqn.learningrate", 1e-4))
    with pytest.raises(KubectlError, match="strict decoding error: unknown field"):
        kubectl("apply", "-f", "-", stdin=text)
    with pytest.raises(KubectlError, match="strict decoding error: unknown field"):
        kubectl("create", "--validate=strict", "--dry-run=server", "-f", "-", stdin=text)
    # Who does not ask for it gets a warning, and the default instead of what was meant.
    kubectl("create", "--validate=warn", "-f", "-", stdin=text)
    stored = kubectl.json("get", "rlx", "cartpole")
    assert stored["spec"]["agent"]["dqn"]["learningRate"] == 1e-3


@pytest.fixture
def stored(admin: Kubectl, kubectl: Kubectl) -> Kubectl:
    """kubectl in a namespace that holds SMALL."""
    kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(SMALL))
    return kubectl


def patch(kubectl: Kubectl, spec: Any) -> None:
    kubectl("patch", "rlx", "cartpole", "--type=merge", "--patch", json.dumps({"spec": spec}))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"environment": {"gymnasium": {"id": "Acrobot-v1"}}}, "environment must not change, since "
         "parameters and experience belong to it. Got: environment=Acrobot-v1, before=CartPole-v1"),
        ({"environment": {"gymnasium": None, "factory": "a:b"}}, "Got: environment=a:b, before="),
        ({"environment": {"gymnasium": {"kwargs": {"gravity": {"x": 2}}}}}, "nor must its "
         "arguments and wrappers"),
        ({"environment": {"gymnasium": {"vectorization": "native"}}}, "nor must its arguments"),
        ({"environment": {"wrappers": [{"name": "TimeLimit"}]}}, "nor must its arguments"),
        ({"agent": {"dqn": None, "custom": {"builder": "a:B"}}}, "agent must not become another "
         "one, which could not read this one's parameters. Got: agent=custom, before=dqn."),
        ({"seed": 1}, "seed must not change, since all that was learnt comes from it. Got: seed=1, "
         "before=0."),
        ({"managedBy": "a.b/c"}, "managedBy must not change, since one controller is to look after "
         "an experiment. Got: managedBy=a.b/c, before=unset."),
        ({"resumeFrom": {"experiment": "b"}}, "resumeFrom must not change, since it tells what the "
         "experiment began from. Got: resumeFrom=b, before=unset."),
        ({"replay": {"storage": {"size": "9Gi"}}}, "size may grow, but must not shrink. Got: "
         "size=9Gi, before=10Gi."),
        ({"replay": {"storage": {"storageClassName": "x"}}}, "storageClassName must not change, "
         "since a volume keeps its class. Got: storageClassName=x, before=unset."),
        ({"checkpoint": {"storage": {"size": "4096Mi"}}}, "Got: size=4096Mi, before=5Gi."),
        ({"checkpoint": {"storage": {"storageClassName": ""}}}, "storageClassName must not change"),
    ],
)  # fmt: skip
def test_what_must_not_change_is_refused(stored: Kubectl, spec: Any, expected: str) -> None:
    with pytest.raises(KubectlError) as caught:
        patch(stored, spec)
    assert expected in str(caught.value)


def test_what_was_set_must_not_be_unset(admin: Kubectl, kubectl: Kubectl) -> None:
    document = copy.deepcopy(SMALL)
    document["spec"] |= {
        "managedBy": "a.b/c",
        "resumeFrom": {"claimName": "old"},
        "checkpoint": {"storage": {"storageClassName": "fast"}},
    }
    kubectl("create", "-f", "-", stdin=json.dumps(document))
    for spec, got in (
        ({"managedBy": None}, "Got: managedBy=unset, before=a.b/c."),
        ({"resumeFrom": None}, "Got: resumeFrom=unset, before=old."),
        ({"resumeFrom": {"claimName": "other"}}, "Got: resumeFrom=other, before=old."),
        ({"checkpoint": {"storage": None}}, "Got: storageClassName=unset, before=fast."),
    ):
        with pytest.raises(KubectlError) as caught:
            patch(kubectl, spec)
        assert got in str(caught.value)


@pytest.mark.parametrize(
    "spec",
    [
        {"agent": {"dqn": {"learningRate": 1e-4}}},
        {"replay": {"storage": {"size": "11Gi"}}},
        {"replay": {"storage": {"size": "10240Mi"}}},
        {"checkpoint": {"storage": {"size": "1Ti"}, "retain": "Retain", "interval": "30s"}},
        {"actors": {"replicas": 8, "podTemplate": {"spec": {"nodeSelector": {"disk": "ssd"}}}}},
        {"stop": {"environmentSteps": 300_000, "episodeReturn": None}},
        {"suspend": True, "image": "worker:2", "ttlSecondsAfterFinished": 60},
        {"failurePolicy": {"backoffLimit": 0}, "evaluator": {"episodes": 3}},
    ],
)
def test_everything_else_may_change(stored: Kubectl, spec: Any) -> None:
    before = stored.json("get", "rlx", "cartpole")
    patch(stored, spec)
    after = stored.json("get", "rlx", "cartpole")
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1
    assert parse(after)[0] is not None


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
    stored("wait", "--for=condition=Ready", "rlx/cartpole", "--timeout=5s")
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
