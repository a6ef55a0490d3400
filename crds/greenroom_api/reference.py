"""The page of all fields, generated from the same schema as the CustomResourceDefinition.

python -m greenroom_api.reference > docs/reference.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from greenroom_api.crd import custom_resource_definition
from greenroom_api.values import show

_HEADER = """\
<!-- Generated from the models in crds/greenroom_api; `make crd` writes it anew. -->

# RLExperiment

Of `greenroom.dev/v1alpha1`; `kubectl explain rlx.spec` tells the same.

A field without a default may be left out, unless it is *required*.
"""

_CLOSED = {"podTemplate"}
"""What Kubernetes describes."""
_BOUNDS = (
    ("minimum", "exclusiveMinimum", "≥", ">"),
    ("maximum", "exclusiveMaximum", "≤", "<"),
)


def generate() -> str:
    """Return the page."""
    (version,) = custom_resource_definition()["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]["properties"]
    parts = [_HEADER]
    for name in ("spec", "status"):
        parts += [_section(name, schema[name])]
    columns = "\n".join(
        f"| `{column['name'].upper()}` | `{column['jsonPath']}` | {_cell(column['description'])} |"
        + (" `-o wide` |" if column["priority"] else " |")
        for column in version["additionalPrinterColumns"]
    )
    parts.append(
        f"## What kubectl get prints\n\n| column | field | | |\n|---|---|---|---|\n{columns}\n"
    )
    return "\n".join(parts)


def _section(path: str, schema: Mapping[str, Any]) -> str:
    """Return the fields of one object, then those of the objects in it."""
    fields: Mapping[str, Any] = schema["properties"]
    required = schema.get("required", ())
    lines = [f"## {path}", "", schema.get("description", ""), ""]
    lines += ["| field | type | default | |", "|---|---|---|---|"]
    lines += [_row(name, field, name in required) for name, field in fields.items()]
    lines += _rules(schema)
    inner = [
        _section(f"{path}.{name}{brackets}", below)
        for name, field in fields.items()
        for brackets, below in _objects(name, field)
    ]
    return "\n".join([*lines, "", *inner])


def _objects(name: str, field: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if name in _CLOSED:
        return
    below = field.get("items", field)
    if below.get("properties"):
        yield ("[]" if "items" in field else "", below)


def _row(name: str, field: Mapping[str, Any], required: bool) -> str:
    default = "*required*" if required else ""
    if "default" in field and field["default"] != {}:
        default = f"`{show(field['default'])}`"
    return f"| `{name}` | {_type(field)} | {default} | {_cell(field.get('description', ''))} |"


def _type(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("x-kubernetes-int-or-string"):
        return "quantity"
    if "items" in field:
        return f"list of {_type(field['items'])}"
    kind: str = field.get("type", "any")
    bounds = []
    for bound, exclusive, closed, open_ in _BOUNDS:
        # That a number fits 32 or 53 bits is for machines.
        if bound in field and abs(field[bound]) < 2**31 - 1:
            sign = open_ if field.get(exclusive) else closed
            bounds.append(f"{sign} {field[bound]:g}")
    return " ".join([kind, ", ".join(bounds)]).strip()


def _rules(schema: Mapping[str, Any]) -> list[str]:
    rules = schema.get("x-kubernetes-validations", ())
    return ["", *(f"- {_cell(rule['message'].rstrip('.'))}." for rule in rules)] if rules else []


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(generate())
