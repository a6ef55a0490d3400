"""Hyperparameters as a person reads them, taken from the models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from greenroom_api.agent import Agent
from greenroom_api.problems import join_path
from greenroom_api.schema import structural_schema
from greenroom_api.values import IMPORT_PATH_PATTERN, MAX_COUNT, show


@dataclass(frozen=True)
class HyperparameterField:
    """One hyperparameter.

    Attributes:
        name: dotted, in camelCase: ``epsilon.decaySteps``.
        type: its kind and bounds: ``integer >= 1``.
        default: as YAML writes it, or ``unset``, or ``required``.
        description: what it does.
    """

    name: str
    type: str
    default: str
    description: str


def agent_fields() -> dict[str, tuple[HyperparameterField, ...]]:
    """Return the hyperparameters of each agent, by its name in ``spec.agent``."""
    properties = structural_schema(Agent)["properties"]
    return {name: tuple(_fields(schema, "")) for name, schema in properties.items()}


def _fields(schema: Mapping[str, Any], prefix: str) -> Iterator[HyperparameterField]:
    for key, field in schema["properties"].items():
        name = join_path(prefix, (key,))
        # An object that is there by default is no choice: its fields say it all.
        there = "default" in field or key in schema.get("default", {})
        if "properties" not in field or not there:
            default = _default(field, required=key in schema.get("required", ()))
            yield HyperparameterField(name, _type(field), default, field.get("description", ""))
        if "properties" in field:
            yield from _fields(field, name)


def _default(field: Mapping[str, Any], required: bool) -> str:
    if "default" in field:
        default = field["default"]
        return default if isinstance(default, str) else show(default)
    return "required" if required else "unset"


def _type(field: Mapping[str, Any]) -> str:
    kind = _kind(field) + _range(field)
    return f"{kind}, or null" if field.get("nullable") else kind


def _kind(field: Mapping[str, Any]) -> str:
    match field:
        case {"enum": choices}:
            return " | ".join(map(str, choices))
        case {"pattern": pattern} if pattern == IMPORT_PATH_PATTERN:
            return "module:name"
        case {"type": "boolean"}:
            return "true | false"
        case {"type": "array", "items": items}:
            return f"list of {_type(items)}"
    return str(field.get("type", "any value"))


def _range(field: Mapping[str, Any]) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None and high != MAX_COUNT:
        return f", {show(low)} to {show(high)}"
    if low is not None:
        return f" {'>' if field.get('exclusiveMinimum') else '>='} {show(low)}"
    return "" if high is None else f" <= {show(high)}"
