"""The definition on a real API server: what it accepts, fills in and refuses, as Python does."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from api_server_tools import BOUNDED, SCHEMA, SMALL, Try, parse, patiently
from api_strategies import documents, experiments, spoilt
from hypothesis import given

from e2e.cluster.cluster import Kubectl, KubectlError
from greenroom_api.crd import PLURAL
from greenroom_api.experiment import GROUP

ROOT = Path(__file__).parents[2]


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
QUEUE_BY_PRIORITY = SMALL["spec"] | {
    "agent": {"dqn": {"prioritized": {"priorityExponent": 0.5}}},
    "replay": {"rateLimiter": "Queue", "maxSize": 99},
}


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
         "one of dqn, impala, custom must be set. Got: dqn, impala."),
        ("spec.agent", {}, "exactly one of dqn, impala, custom must be set. Got: none (a member "
         "with nothing to set is written NAME: {})."),
        ("spec.environment", {"factory": "a:b", "gymnasium": {"id": "A-v0"}}, "exactly one of "
         "gymnasium, factory must be set. Got: gymnasium, factory."),
        ("spec.stop", {}, "at least one of environmentSteps, learnerSteps, episodeReturn, duration "
         "must be set. Got: none."),
        ("spec.replay.rateLimiter", "Queue", "maxSize must be set with rateLimiter Queue: the "
         "items by which acting may run ahead of learning. Got: none."),
        ("spec.replay", {"rateLimiter": "Queue", "maxSize": 99, "minSize": 9}, "minSize must not "
         "be set with rateLimiter Queue, which reads each item once, in order. Got: minSize=9."),
        ("spec", QUEUE_BY_PRIORITY, "prioritized must not be set with rateLimiter Queue, which is "
         "read in order. Got: priorityExponent=0.5, importanceSamplingExponent=0.4."),
        ("spec.learner.replicas", 2, "replicas must be 1 until learners can share the work of one "
         "experiment. Got: replicas=2."),
        ("spec.resumeFrom.experiment", "cartpole", "experiment must be another one than the "
         "experiment itself, which goes on by itself. Got: experiment=cartpole."),
        ("spec.checkpoint.storage.size", "5G", 'spec.checkpoint.storage.size: Invalid value: "5G"'),
        ("spec.actors.podTemplate", {"spec": {"containers": [{"name": "wroker"}]}}, "image is "
         "required for any container but worker, in which the role runs. Got: name=wroker."),
        ("spec.actors.podTemplate.specs", {}, 'unknown field "spec.actors.podTemplate.specs"'),
        ("spec.actors.podTemplate.spec.nodeSelectr", {}, "unknown field "
         '"spec.actors.podTemplate.spec.nodeSelectr"'),
        # Of a strategic merge patch: a template is merged without its directives.
        ("spec.actors.podTemplate.spec.$patch", "replace", "unknown field "
         '"spec.actors.podTemplate.spec.$patch"'),
        ("spec.actors.podTemplate.spec.containers", [{"name": "worker", "$patch": "delete"}],
         'unknown field "spec.actors.podTemplate.spec.containers[0].$patch"'),
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
