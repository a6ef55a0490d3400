"""The CRD: as generated, and structural as the API server wants it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greenroom_api.crd import custom_resource_definition, generate

FILE = Path(__file__).parents[2] / "crds" / "rlexperiments.yaml"
ROOT = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema in a schema, with its path."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


NODES = dict(nodes(ROOT))
TEMPLATES = [path for path in NODES if path.endswith(".podTemplate")]
# The four pod templates are one schema: a test says so.
DISTINCT = [path for path in NODES if not path.startswith(tuple(f"{t}." for t in TEMPLATES[1:]))]


def test_the_file_is_what_the_models_say() -> None:
    assert FILE.read_text() == generate(), (
        "crds/rlexperiments.yaml must be generated anew: "
        "python -m greenroom_api.crd > crds/rlexperiments.yaml"
    )


def test_names_are_those_of_the_api() -> None:
    spec = custom_resource_definition()["spec"]
    assert custom_resource_definition()["metadata"]["name"] == "rlexperiments.greenroom.dev"
    assert spec["names"]["shortNames"] == ["rlx"]
    assert spec["names"]["categories"] == ["all"]
    assert spec["scope"] == "Namespaced"


KNOWN = {
    "description",
    "type",
    "nullable",
    "default",
    "enum",
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "minItems",
    "maxItems",
    "items",
    "maxProperties",
    "additionalProperties",
    "required",
    "properties",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
}


@pytest.mark.parametrize("path", DISTINCT)
def test_every_schema_is_structural(path: str) -> None:
    schema = NODES[path]
    # No $ref, anyOf, const, title: all that is there is known.
    assert schema.keys() <= KNOWN
    if "x-kubernetes-int-or-string" in schema:
        assert "type" not in schema
        return
    assert schema["type"] in {"object", "array", "string", "integer", "number", "boolean"}
    if schema["type"] == "object":
        others = schema.keys() & {"additionalProperties", "x-kubernetes-preserve-unknown-fields"}
        assert len(others) == 1 or "properties" in schema
        assert "properties" not in schema or "additionalProperties" not in schema
    if schema["type"] == "array":
        assert schema["items"]
        assert schema["maxItems"] <= 1_000, "a list without bounds makes CEL unaffordable"
    if "x-kubernetes-list-type" in schema:
        assert set(schema["x-kubernetes-list-map-keys"]) <= set(schema["items"]["required"])
    # OpenAPI 3.0 has exclusive bounds as flags beside the bound.
    if "exclusiveMinimum" in schema:
        assert schema["exclusiveMinimum"] is True
        assert "minimum" in schema


@pytest.mark.parametrize("path", DISTINCT)
def test_every_field_is_documented_and_bounded(path: str) -> None:
    schema = NODES[path]
    if path == ".metadata":
        assert schema.keys() == {"type", "properties"}, "the API server allows no more"
        return
    if ".podTemplate." in path:
        assert "description" not in schema, "four templates with descriptions are 1.3 MB"
    elif not path.endswith(("[]", "{}")):
        assert schema["description"].endswith(".")
    kind = schema.get("type")
    if kind == "string" and path not in (".apiVersion", ".kind") and not path.endswith("{}"):
        assert schema.keys() & {"maxLength", "enum", "pattern", "format"}
    if kind == "integer":
        assert schema.keys() >= {"minimum", "maximum"}


def test_pod_templates_are_one_schema() -> None:
    assert len(TEMPLATES) == 4
    assert all(NODES[path] == NODES[TEMPLATES[0]] for path in TEMPLATES)


def test_the_file_fits_etcd_and_a_release_of_helm() -> None:
    assert len(FILE.read_bytes()) < 600_000


def defaulted(schema: dict[str, Any]) -> Any:
    """What the API server makes of an empty object."""
    return {
        name: field["default"] for name, field in schema["properties"].items() if "default" in field
    }


@pytest.mark.parametrize("path", [path for path, schema in NODES.items() if "default" in schema])
def test_defaults_are_complete_and_fit(path: str) -> None:
    # The API server tries the rules on a default before it fills in defaults below it.
    schema = NODES[path]
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": float,
        "boolean": bool,
    }
    assert isinstance(schema["default"], kinds[schema["type"]])
    if "properties" in schema:
        assert schema["default"].items() >= defaulted(schema).items()
        assert schema["default"].keys() >= set(schema.get("required", ()))


def test_what_a_queue_must_not_have_or_be_told_is_not_filled_in() -> None:
    replay = NODES[".spec.replay"]["properties"]
    for name, unset in (
        ("samplesPerInsert", "Unset: 32."),
        ("minSize", "Unset: 1000."),
        ("maxSize", "Unset: 100000."),
    ):
        assert "default" not in replay[name]
        assert unset in replay[name]["description"]


RULES = [
    (path, rule) for path in DISTINCT for rule in NODES[path].get("x-kubernetes-validations", ())
]


def test_members_and_relations_are_rules() -> None:
    assert {path for path, _ in RULES} == {
        "",
        ".spec",
        ".spec.environment",
        ".spec.agent",
        ".spec.agent.dqn.network",
        ".spec.agent.impala",
        ".spec.agent.impala.network",
        ".spec.replay",
        ".spec.replay.storage",
        ".spec.replay.podTemplate.metadata",
        ".spec.replay.podTemplate.spec",
        ".spec.learner",
        ".spec.checkpoint.storage",
        ".spec.resumeFrom",
        ".spec.stop",
    }


@pytest.mark.parametrize(("path", "rule"), RULES)
def test_rules_name_fields_that_are_there(path: str, rule: dict[str, str]) -> None:
    assert rule["message"].endswith(".")
    if "fieldPath" in rule:
        assert f"{path}{rule['fieldPath']}" in NODES
    for text in (rule["rule"], rule.get("messageExpression", "")):
        for field in re.findall(r"\b(?:self|oldSelf)((?:\.[A-Za-z]+\b(?!\())+)", text):
            assert f"{path}{field}" in NODES
        assert text.count("(") == text.count(")")


# Of objects without a schema, CEL can print nothing.
SAYING_NO_VALUE = ["ports must not be set for container worker: it is Greenroom's own."]


def test_rules_say_what_they_got() -> None:
    said = [rule.get("messageExpression", rule["message"]) for _, rule in RULES]
    assert [text for text in said if ". Got: " not in text] == SAYING_NO_VALUE
