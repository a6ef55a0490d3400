"""Lists whose entries have a key, as the API server merges them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from greenroom_api.values import broken, show


@dataclass(frozen=True)
class KeyedBy:
    """Marks a list of models as one whose entries are told apart by a required field.

        Annotated[tuple[Container, ...], KeyedBy("name")]

    Attributes:
        key: the Python name of the field.
    """

    key: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(core) | {
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": [to_camel(self.key)],
        }

    def _check(self, entries: tuple[Any, ...]) -> tuple[Any, ...]:
        counts = Counter(getattr(entry, self.key) for entry in entries)
        twice = [value for value, count in counts.items() if count > 1]
        if twice:
            rule = f"must have each {to_camel(self.key)} once"
            raise broken(f"{rule}. Got: {', '.join(map(show, twice))} more than once.")
        return entries
