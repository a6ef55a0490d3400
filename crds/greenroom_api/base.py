"""What every model of the API has in common.

Files are written in camelCase, Python in snake_case; what is unknown is refused, and
nothing changes after it was checked. Rules between fields stand twice, side by side in
the class that holds the fields: in Python (`ApiModel.broken_rules`) and, for the API
server, in CEL (`ApiModel.validations`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from operator import getitem
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, ErrorDetails, InitErrorDetails, PydanticCustomError

from greenroom_api.values import broken

_NO_MEMBER = "none (a member with nothing to set is written NAME: {})"


@dataclass(frozen=True)
class BrokenRule:
    """A rule between fields that does not hold.

    Attributes:
        loc: camelCase names, and places in lists, from the model that has the rule to the field
            at fault.
        message: the rule, then what it got.
    """

    loc: tuple[int | str, ...]
    message: str


@dataclass(frozen=True)
class Validation:
    """A rule as the API server evaluates it (``x-kubernetes-validations``).

    Attributes:
        rule: CEL that is true where the rule holds; ``self`` is the object.
        message: what the API server answers otherwise.
        path: the field at fault, such as ``.replay.minSize``.
        got: CEL of the values that the message ends with, by name; or of words to end with.
    """

    rule: str
    message: str
    path: str | None = None
    got: Mapping[str, str] | tuple[str, ...] | None = None

    def to_schema(self) -> dict[str, str]:
        """Return the entry of the schema."""
        entry = {"rule": self.rule, "message": f"{self.message}."}
        if self.got is not None:
            # format, since the API server takes a sum of strings for unboundedly expensive.
            if isinstance(self.got, tuple):
                template, values = "%s" * len(self.got), ", ".join(self.got)
            else:
                template = ", ".join(f"{name}=%s" for name in self.got)
                values = ", ".join(self.got.values())
            text = json.dumps(f"{self.message}. Got: {template}.")
            entry["messageExpression"] = f"{text}.format([{values}])"
        if self.path is not None:
            entry |= {"fieldPath": self.path, "reason": "FieldValueInvalid"}
        return entry


class ApiModel(BaseModel):
    """An object of the API.

    Raises:
        pydantic.ValidationError: with all problems at once: rules between fields are
            checked wherever the fields that they read are themselves in order.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        extra="forbid",
        frozen=True,
    )

    @classmethod
    def broken_rules(
        cls, fields: Mapping[str, Any], given: AbstractSet[str]
    ) -> Iterator[BrokenRule]:
        """Yield the rules between fields that do not hold.

        Args:
            fields: the fields that are in order, by Python name; defaults included.
            given: names of what was set, and not to null, whether in order or not.
        """
        yield from ()

    @classmethod
    def validations(cls) -> tuple[Validation, ...]:
        """Return the same rules for the API server."""
        return ()

    def omitted(self) -> frozenset[str]:
        """Return the names of fields that mean nothing beside what the others say."""
        return frozenset()

    @model_validator(mode="wrap")
    @classmethod
    def _check_rules(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        problems: list[InitErrorDetails] = []
        model = None
        try:
            model = handler(data)
        except ValidationError as error:
            if not isinstance(data, Mapping):
                raise
            problems += [_relay(problem) for problem in error.errors(include_url=False)]
            fields, given = cls._parts(data)
        else:
            fields = dict(model)
            given = {name for name in model.model_fields_set if fields[name] is not None}
        problems += [
            InitErrorDetails(type=broken(rule.message), loc=rule.loc, input=data)
            for rule in cls.broken_rules(fields, given)
        ]
        if model is None or problems:
            raise ValidationError.from_exception_data(cls.__name__, problems)
        return model

    @classmethod
    def _parts(cls, data: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
        """Return what `broken_rules` takes, of data that is not in order as a whole."""
        names = {field.alias: name for name, field in cls.model_fields.items()}
        values = {names.get(key, key): value for key, value in data.items() if value is not None}
        fields: dict[str, Any] = {}
        for name, field in cls.model_fields.items():
            if name in values:
                with suppress(ValidationError):
                    fields[name] = _adapter(cls, name).validate_python(values[name])
            elif not field.is_required():
                fields[name] = field.get_default(call_default_factory=True)
        return fields, set(values)

    @model_serializer(mode="wrap")
    def _leave_out_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write what is set, so that what was written can be read again.

        A null is kept only where it differs from the default.
        """
        fields = type(self).model_fields
        unset = {
            name
            for name, field in fields.items()
            if getattr(self, name) is None and field.default is None
        }
        unset |= self.omitted()
        unset |= {fields[name].alias or name for name in unset}
        return {key: value for key, value in handler(self).items() if key not in unset}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        rules = cls.validations()
        if rules:
            entries = [rule.to_schema() for rule in rules]
            handler.resolve_ref_schema(schema)["x-kubernetes-validations"] = entries
        return schema


class OneOf(ApiModel):
    """An object of which exactly one member is set, as a Kubernetes volume is.

    Attributes:
        members: the Python names of the members; other fields stand beside them.
    """

    members: ClassVar[tuple[str, ...]]

    @property
    def chosen(self) -> str:
        """The camelCase name of the member that is set."""
        (name,) = (name for name in self.members if getattr(self, name) is not None)
        return to_camel(name)

    @classmethod
    def broken_rules(
        cls, fields: Mapping[str, Any], given: AbstractSet[str]
    ) -> Iterator[BrokenRule]:
        """Yield the rule that exactly one member is set."""
        chosen = [to_camel(name) for name in cls.members if name in given]
        misspelt = given - cls.model_fields.keys()
        if len(chosen) > 1 or not (chosen or misspelt):
            got = ", ".join(chosen) or _NO_MEMBER
            yield BrokenRule((), f"{cls._rule()}. Got: {got}.")

    @classmethod
    def validations(cls) -> tuple[Validation, ...]:
        """Return the rule that exactly one member is set."""
        names = [to_camel(name) for name in cls.members]
        given = [f"has(self.{name})" for name in names]
        count = " + ".join(f"({each} ? 1 : 0)" for each in given)
        none = f"{' || '.join(given)} ? '' : '{_NO_MEMBER}'"
        # Each name by itself: what join() makes has no bounds for the API server either.
        words = [
            f"!{each} ? '' : {' || '.join(given[:place])} ? ', {name}' : '{name}'"
            if place
            else f"{each} ? '{name}' : ''"
            for place, (name, each) in enumerate(zip(names, given, strict=True))
        ]
        return (Validation(f"{count} == 1", cls._rule(), got=(none, *words)),)

    @classmethod
    def _rule(cls) -> str:
        return f"exactly one of {', '.join(map(to_camel, cls.members))} must be set"


def _relay(problem: ErrorDetails) -> InitErrorDetails:
    """Return a reported problem as one that can be raised again, type and context kept."""
    context = {**problem.get("ctx", {}), "message": problem["msg"]}
    error = PydanticCustomError(problem["type"], "{message}", context)
    return InitErrorDetails(type=error, loc=problem["loc"], input=problem["input"])


@cache
def _adapter(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    """Return what validates one field alone."""
    field = model.model_fields[name]
    kind: Any = field.annotation
    if field.metadata:
        kind = getitem(Annotated, (kind, *field.metadata))
    return TypeAdapter(kind)
