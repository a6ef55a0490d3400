"""``podTemplate``: what a user adds to the pods of a role."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import (
    BaseModel,
    GetCoreSchemaHandler,
    JsonValue,
    ValidatorFunctionWrapHandler,
)
from pydantic_core import CoreSchema, core_schema

from greenroom_api.base import BrokenRule, Validation
from greenroom_api.pods import PodModel, PodSpec, Strings
from greenroom_api.values import show

OWN_PREFIX = "greenroom.dev/"
OWN_LABELS = tuple(
    f"app.kubernetes.io/{name}"
    for name in ("name", "instance", "component", "part-of", "managed-by")
)
"""Labels by which the operator, its workloads and its policies find pods."""

POD_TEMPLATE = (
    "What is added to the pods: a partial PodTemplateSpec of Kubernetes, merged over Greenroom's "
    "own. Lists are merged by the keys that Kubernetes names: containers, env and volumes by "
    "name, volumeMounts by mountPath. The role runs in the container named worker: resources, "
    "env, volumeMounts and image of it may be set, command, args and ports not. Local runs "
    "ignore it."
)


class PodMetadata(PodModel):
    """Labels and annotations of pods."""

    labels: Strings | None = None
    annotations: Strings | None = None

    @classmethod
    def broken_rules(
        cls, fields: Mapping[str, Any], given: AbstractSet[str]
    ) -> Iterator[BrokenRule]:
        """Yield the keys that are not the user's."""
        for name in cls.model_fields:
            for key, value in (fields.get(name) or {}).items():
                if key.startswith(OWN_PREFIX) or key in OWN_LABELS:
                    yield BrokenRule(
                        (name, key), f"must not be set: it is Greenroom's own. Got: {show(value)}."
                    )

    @classmethod
    def validations(cls) -> tuple[Validation, ...]:
        """Return the same rules for the API server."""
        labels = ", ".join(f"'{label}'" for label in OWN_LABELS)
        own = f"key.startsWith('{OWN_PREFIX}') || key in [{labels}]"
        return tuple(
            Validation(
                f"!has(self.{name}) || !self.{name}.exists(key, {own})",
                f"{name} must not hold Greenroom's own",
                path=f".{name}",
                got={name: f"self.{name}.filter(key, {own})"},
            )
            for name in cls.model_fields
        )


class PodTemplateParts(PodModel):
    """What a pod template may say."""

    metadata: PodMetadata | None = None
    spec: PodSpec | None = None


@dataclass(frozen=True)
class WrittenAs:
    """Marks plain values that a model judges, and that are kept as they were written.

    A null is dropped, which says no more than an absent field.
    """

    model: type[BaseModel]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(
            self._check,
            handler.generate_schema(self.model),
            serialization=core_schema.plain_serializer_function_ser_schema(copy.deepcopy),
        )

    @staticmethod
    def _check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        handler(value)
        return _without_nulls(value)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(item) for item in value]
    return value


PodTemplate: TypeAlias = Annotated[dict[str, JsonValue], WrittenAs(PodTemplateParts)]
