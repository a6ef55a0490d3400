"""The CustomResourceDefinition of RLExperiment, generated from the models.

python -m greenroom_api.crd > crds/rlexperiments.yaml
"""

from __future__ import annotations

import sys
from typing import Any

from greenroom_api.documents import write_document
from greenroom_api.experiment import GROUP, KIND, VERSION, RLExperiment
from greenroom_api.schema import structural_schema
from greenroom_api.status import ExperimentStatus

PLURAL = "rlexperiments"

_COLUMNS: tuple[tuple[str, str, str, str, int], ...] = (
    ("State", "string", ".status.phase", "One word for how it is.", 0),
    ("Steps", "integer", ".status.environmentSteps", "Environment steps so far.", 0),
    ("Return", "number", ".status.episodeReturn", "Mean return of the newest evaluation.", 0),
    ("SPS", "number", ".status.environmentStepsPerSecond", "Environment steps per second.", 0),
    ("Actors", "integer", ".status.actors.ready", "Actors that are ready.", 0),
    ("Bottleneck", "string", ".status.bottleneck", "The side that the other waits for.", 0),
    ("Age", "date", ".metadata.creationTimestamp", "Time since it was created.", 0),
    ("Learner-Steps", "integer", ".status.learnerSteps", "Learner steps so far.", 1),
    ("SPI", "number", ".status.samplesPerInsert", "Samples per insert so far.", 1),
    (
        "Message",
        "string",
        '.status.conditions[?(@.type=="Ready")].message',
        "What it does, or what holds it up.",
        1,
    ),
)
"""Name, type, path, description and priority of what ``kubectl get`` prints; 1 is for -o wide."""

_HEADER = """\
# Generated from the models in crds/greenroom_api; do not edit. To write it anew:
#   python -m greenroom_api.crd > crds/rlexperiments.yaml
"""


def custom_resource_definition() -> dict[str, Any]:
    """Return the CustomResourceDefinition as plain values."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["rlx"],
                "categories": ["all"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.actors.replicas",
                            "statusReplicasPath": ".status.actors.replicas",
                            "labelSelectorPath": ".status.actors.selector",
                        },
                    },
                    "additionalPrinterColumns": [_column(*column) for column in _COLUMNS],
                    "schema": {"openAPIV3Schema": _root_schema()},
                }
            ],
        },
    }


def generate() -> str:
    """Return the file's text."""
    return _HEADER + write_document(custom_resource_definition())


def _column(name: str, kind: str, path: str, description: str, priority: int) -> dict[str, Any]:
    return {
        "name": name,
        "type": kind,
        "jsonPath": path,
        "description": description,
        "priority": priority,
    }


def _root_schema() -> dict[str, Any]:
    schema = structural_schema(RLExperiment)
    properties = schema["properties"]
    for name in ("apiVersion", "kind"):
        # The API server itself sees to their values.
        properties[name] = {"description": properties[name]["description"], "type": "string"}
    # Of metadata, only the name may be restricted, and nothing may be described.
    name = properties["metadata"]["properties"]["name"]
    properties["metadata"] = {"type": "object", "properties": {"name": name}}
    properties["status"] = structural_schema(ExperimentStatus)
    return schema


if __name__ == "__main__":
    sys.stdout.write(generate())
