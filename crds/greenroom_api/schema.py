"""Structural schemas: JSON Schema as the Kubernetes API server accepts it.

Pydantic writes JSON Schema 2020; a CustomResourceDefinition wants the structural part of
OpenAPI 3.0. So references are put in place, an optional value is one that may be absent
(or is ``nullable``), ``const`` is an enum of one, exclusive bounds are flags beside
inclusive ones, and unknown fields are refused by the API server without being told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from greenroom_api.values import Duration

_ORDER = (
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
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "items",
    "maxProperties",
    "additionalProperties",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
    "required",
    "properties",
    "x-kubernetes-validations",
)


def structural_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the structural schema of a model's camelCase form."""
    schema = model.model_json_schema(
        by_alias=True, mode="validation", schema_generator=_GenerateJsonSchema
    )
    return _structural(schema, schema.get("$defs", {}))


class _GenerateJsonSchema(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:
        """Write what a default says itself; `_complete` adds the defaults inside it."""
        if isinstance(dft, BaseModel):
            return dft.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return str(dft) if isinstance(dft, Duration) else super().encode_default(dft)


def _structural(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    schema = dict(node)
    schema.pop("title", None)
    schema.pop("$defs", None)
    if "$ref" in schema:
        definition = definitions[schema.pop("$ref").removeprefix("#/$defs/")]
        return _structural({**definition, **schema}, definitions)
    if "anyOf" in schema:
        (variant,) = (item for item in schema.pop("anyOf") if item != {"type": "null"})
        if schema.get("default", ...) is None:
            del schema["default"]  # absent is null enough
        else:
            schema["nullable"] = True
        return _structural({**variant, **schema}, definitions)
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if "exclusiveMinimum" in schema:
        schema |= {"minimum": schema["exclusiveMinimum"], "exclusiveMinimum": True}
    if "items" in schema:
        schema["items"] = _structural(schema["items"], definitions)
    if schema.get("type") == "object":
        schema |= _object(schema, schema.pop("additionalProperties", False), definitions)
    return {key: schema.pop(key) for key in _ORDER if key in schema} | schema


def _object(
    schema: Mapping[str, Any], others: Any, definitions: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the keywords of an object; ``others`` is the schema of fields without a name."""
    kept = {"x-kubernetes-preserve-unknown-fields": True}
    if "properties" not in schema:
        values = _structural(others, definitions) if isinstance(others, Mapping) else {}
        return {"additionalProperties": values} if values else kept
    properties = {
        name: _structural(field, definitions) for name, field in schema["properties"].items()
    }
    keywords: dict[str, Any] = {"properties": properties}
    if "default" in schema:
        keywords["default"] = _complete(schema["default"], properties)
    # Beside properties, the API server takes no additionalProperties.
    return keywords | kept if others is True else keywords


def _complete(value: Mapping[str, Any], properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with the defaults of its fields.

    The API server would fill them in too, but it tries the rules on a default before.
    """
    fields: dict[str, Any] = {}
    for name, field in properties.items():
        if name in value or "default" in field:
            given = value.get(name, field.get("default"))
            fields[name] = _complete(given, field["properties"]) if "properties" in field else given
    return fields
