"""The CustomResourceDefinition of RLExperiment, generated from the models.

python -m greenroom_api.crd > crds/rlexperiments.yaml
"""

from __future__ import annotations

import sys
from typing import Any

from greenroom_api.documents import write_document
from greenroom_api.experiment import GROUP, KIND, VERSION, RLExperiment
from greenroom_api.schema import structural_schema

PLURAL = "rlexperiments"

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
                    "schema": {"openAPIV3Schema": _root_schema()},
                }
            ],
        },
    }


def generate() -> str:
    """Return the file's text."""
    return _HEADER + write_document(custom_resource_definition())


def _root_schema() -> dict[str, Any]:
    schema = structural_schema(RLExperiment)
    properties = schema["properties"]
    for name in ("apiVersion", "kind"):
        # The API server itself sees to their values.
        properties[name] = {"description": properties[name]["description"], "type": "string"}
    # Of metadata, only the name may be restricted, and nothing may be described.
    name = properties["metadata"]["properties"]["name"]
    properties["metadata"] = {"type": "object", "properties": {"name": name}}
    return schema


if __name__ == "__main__":
    sys.stdout.write(generate())
