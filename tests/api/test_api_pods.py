"""Pod templates: what is refused at once, what is kept as it was written."""

from __future__ import annotations

import re
from typing import Any

import pytest
from kubernetes.client import models
from pydantic import BaseModel

from greenroom_api import InvalidExperiment, dump_experiment, parse_experiment
from greenroom_api.documents import read_document
from greenroom_api.pod_template import OWN_LABELS, OWN_PREFIX, PodMetadata
from greenroom_api.pods import Container, PodSpec, Resources, Toleration, Variable, VolumeMount
from greenroom_api.schema import structural_schema
from greenroom_operator import names

SECTIONS = ("replay", "learner", "actors", "evaluator")


def document(template: Any, section: str = "actors") -> dict[str, Any]:
    return {
        "apiVersion": "greenroom.dev/v1alpha1",
        "kind": "RLExperiment",
        "metadata": {"name": "a"},
        "spec": {
            "environment": {"factory": "tasks:make"},
            "agent": {"dqn": {}},
            "stop": {"learnerSteps": 1},
            section: {"podTemplate": template},
        },
    }


def problems(template: Any) -> list[str]:
    with pytest.raises(InvalidExperiment) as caught:
        parse_experiment(document(template))
    path = "spec.actors.podTemplate"
    return [str(problem).removeprefix(path).lstrip(".") for problem in caught.value.problems]


def worker(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "worker", **fields}]}}


@pytest.mark.parametrize("section", SECTIONS)
def test_a_template_is_kept_as_it_was_written(section: str) -> None:
    template = worker(resources={"limits": {"nvidia.com/gpu": 1}}) | {
        "metadata": {"annotations": {"example.com/a": "b"}}
    }
    experiment = parse_experiment(document(template, section))
    assert getattr(experiment.spec, section).pod_template == template
    dumped, _ = read_document(dump_experiment(experiment))
    assert dumped["spec"][section]["podTemplate"] == template
    unset = parse_experiment(document(None, section))
    assert getattr(unset.spec, section).pod_template is None
    assert "podTemplate" not in dump_experiment(unset)


def test_a_null_is_no_more_than_an_absent_field() -> None:
    template = {"spec": {"nodeSelector": None, "affinity": {"podAffinity": None}}}
    actors = parse_experiment(document(template)).spec.actors
    assert actors.pod_template == {"spec": {"affinity": {}}}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ({"specs": {}}, "specs: unknown field, did you mean spec?"),
        ({"spec": {"nodeSelectr": {}}}, "spec.nodeSelectr: unknown field, did you mean "
         "nodeSelector?"),
        ({"metadata": {"name": "x"}}, "metadata.name: unknown field, known are labels, "
         "annotations."),
        ({"spec": {"containers": [{"image": "x"}]}}, "spec.containers[0].name: is required. Got: "
         "nothing."),
        (worker(resource={}), "spec.containers[0].resource: unknown field, did you mean "
         "resources?"),
        (worker(resources={"limit": {}}), "spec.containers[0].resources.limit: unknown field, did "
         "you mean limits?"),
        (worker(resources={"limits": {"cpu": 0.5}}), "spec.containers[0].resources.limits.cpu: "
         "must be a quantity such as 2, 500m or 8Gi, in quotes where it has a point. Got: 0.5."),
        (worker(env=[{"name": "A", "value": 1}]), "spec.containers[0].env[0].value: must be a "
         "string. Got: 1."),
        (worker(env=[{"name": "A"}, {"name": "A"}]), "spec.containers[0].env: must have each name "
         'once. Got: "A" more than once.'),
        (worker(command=["sh"]), "spec.containers[0].command: must not be set for container "
         'worker: it is Greenroom\'s own. Got: ["sh"].'),
        (worker(args=[]), "spec.containers[0].args: must not be set for container worker: it is "
         "Greenroom's own. Got: []."),
        (worker(ports=[{"containerPort": 1}]), "spec.containers[0].ports: must not be set for "
         'container worker: it is Greenroom\'s own. Got: [{"containerPort": 1}].'),
        ({"spec": {"containers": [{"name": "wroker", "resources": {}}]}}, "spec.containers[0]."
         "image: is required for any container but worker, in which the role runs. Got: nothing, "
         "for wroker."),
        ({"spec": {"restartPolicy": "Never"}}, 'spec.restartPolicy: must be Always. Got: "Never".'),
        ({"metadata": {"labels": {"greenroom.dev/role": "x"}}}, "metadata.labels.greenroom.dev/"
         'role: must not be set: it is Greenroom\'s own. Got: "x".'),
        ({"metadata": {"annotations": {"greenroom.dev/inputs": "x"}}}, "metadata.annotations."
         'greenroom.dev/inputs: must not be set: it is Greenroom\'s own. Got: "x".'),
        ({"metadata": {"labels": {"team": 1}}}, "metadata.labels.team: must be a string. Got: 1."),
        ([], " must be an object, with fields of its own. Got: []."),
    ],
)  # fmt: skip
def test_each_mistake_states_rule_and_value(template: Any, expected: str) -> None:
    (problem,) = problems(template)
    assert problem.removeprefix(":") == expected


def test_sidecars_have_commands_and_ports() -> None:
    sidecar = {
        "name": "proxy",
        "image": "proxy",
        "command": ["proxy"],
        "ports": [{"containerPort": 80}],
    }
    template = {"spec": {"containers": [sidecar], "initContainers": [sidecar]}}
    assert parse_experiment(document(template)).spec.actors.pod_template == template


def test_labels_of_the_operator_are_reserved() -> None:
    labels = [value for name, value in vars(names).items() if name.endswith("_LABEL")]
    assert len(labels) > 6
    for label in [*labels, names.APPLIED, names.INPUTS]:
        assert label in OWN_LABELS or label.startswith(OWN_PREFIX)
    assert not set(OWN_LABELS) - set(labels)
    assert PodMetadata(labels={"app.kubernetes.io/version": "1"}).labels


KINDS = {
    "str": "string",
    "bool": "boolean",
    "int": "integer",
    "List": "array",
    "Dict": "object",
}


@pytest.mark.parametrize(
    ("model", "kubernetes", "left_out"),
    [
        # A Deployment or a StatefulSet takes neither of the two.
        (PodSpec, models.V1PodSpec, {"activeDeadlineSeconds", "ephemeralContainers"}),
        (Container, models.V1Container, set()),
        (Resources, models.V1ResourceRequirements, set()),
        (Variable, models.V1EnvVar, set()),
        (Toleration, models.V1Toleration, set()),
        # Of a later Kubernetes, not yet in the one that is tested with.
        (VolumeMount, models.V1VolumeMount, {"bindMountOptions"}),
    ],
)
def test_fields_are_those_of_kubernetes(
    model: type[BaseModel], kubernetes: Any, left_out: set[str]
) -> None:
    fields = structural_schema(model)["properties"]
    theirs = {
        alias: kubernetes.openapi_types[name] for name, alias in kubernetes.attribute_map.items()
    }
    assert fields.keys() == theirs.keys() - left_out
    for name, schema in fields.items():
        kind = re.match("[A-Za-z]+?(?=\\[|$)", theirs[name])
        expected = KINDS.get(kind[0], "object") if kind else "object"
        assert schema["type"] == expected, name
