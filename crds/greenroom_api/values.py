"""The kinds of values that fields have, each strict enough to agree with the API server.

YAML tells numbers, strings and booleans apart, and so does the API server: ``"64"`` is
no number and ``1`` no boolean.
"""

from __future__ import annotations

import json
import math
import re
from functools import partial
from typing import Annotated, Any, TypeAlias

from pydantic import (
    AfterValidator,
    Field,
    GetCoreSchemaHandler,
    JsonValue,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

MAX_COUNT = 2**53 - 1
"""The largest integer that every JSON parser reads exactly."""
MAX_INT32 = 2**31 - 1
"""The largest that Kubernetes keeps in most of its own counts."""

# Python and Go (RE2) both read these; RE2 has no look-ahead.
_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"
_DOTTED = rf"{_IDENTIFIER}(\.{_IDENTIFIER})*"
IMPORT_PATH_PATTERN = f"^{_DOTTED}:{_DOTTED}$"
LABEL_PATTERN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
EXPERIMENT_NAME_PATTERN = "^[a-z]([-a-z0-9]*[a-z0-9])?$"
LONGEST_EXPERIMENT_NAME = 45
"""So that names made from it fit labels of 63 characters: those of a StatefulSet's revisions,
`NAME-replay-0123456789`, are the longest."""
SUBDOMAIN_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_SUBDOMAIN_OR_EMPTY_PATTERN = f"^$|{SUBDOMAIN_PATTERN}"
_SUBDOMAIN_RULE = (
    "must be a name of RFC 1123: lower case letters, digits, '-' and '.', with a letter or digit "
    "at both ends of each part"
)
_MINUTES, _SECONDS = "[0-9]{1,6}m", "[0-9]{1,6}s"
# Which units are there is spelt out, and the first is never 0: so no duration is 0.
DURATION_PATTERN = (
    f"^(?:[1-9][0-9]{{0,5}}h(?:{_MINUTES})?(?:{_SECONDS})?"
    f"|[1-9][0-9]{{0,5}}m(?:{_SECONDS})?"
    "|[1-9][0-9]{0,5}s)$"
)
_LONGEST_SHOWN = 80
DURATION_RULE = "must be a duration longer than zero, written like 30s, 5m or 1h30m"


def show(value: Any) -> str:
    """Return a value as JSON writes it, cut where it is long."""
    text = json.dumps(value, default=repr, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def broken(message: str) -> PydanticCustomError:
    """Return the error of a rule; ``message`` states the rule, then what it got."""
    # The text goes in as a value, since pydantic would take braces in a template for names.
    return PydanticCustomError("rule", "{message}", {"message": message})


class Duration(float):
    """Seconds, written like ``30s``, ``5m`` or ``1h30m``.

    >>> Duration("1h30m") + 1
    5401.0
    >>> str(Duration("90s"))
    '90s'

    Raises:
        ValueError: the text is not such a duration.
    """

    _text: str

    def __new__(cls, text: str) -> Duration:
        if not (isinstance(text, str) and re.fullmatch(DURATION_PATTERN, text)):
            raise ValueError(f"A duration {DURATION_RULE}. Got: {show(text)}.")
        amounts = {unit: int(amount) for amount, unit in re.findall("([0-9]+)([hms])", text)}
        seconds = 3600 * amounts.get("h", 0) + 60 * amounts.get("m", 0) + amounts.get("s", 0)
        duration = super().__new__(cls, seconds)
        duration._text = text
        return duration

    def __getnewargs__(self) -> tuple[str]:  # type: ignore[override]  # made from text, not a float
        return (self._text,)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Duration({self._text!r})"

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate,
            serialization=core_schema.to_string_ser_schema(),
            json_schema_input_schema=core_schema.str_schema(pattern=DURATION_PATTERN),
        )

    @classmethod
    def _validate(cls, value: Any) -> Duration:
        if isinstance(value, cls):
            return value
        try:
            return cls(value)
        except ValueError:
            raise broken(f"{DURATION_RULE}. Got: {show(value)}.") from None


def _experiment_name(value: str) -> str:
    if len(value) > LONGEST_EXPERIMENT_NAME:
        raise broken(
            f"must have at most {LONGEST_EXPERIMENT_NAME} characters, since names of pods and "
            f"their labels are made from it. Got: {show(value)}, of {len(value)}."
        )
    return match_pattern(
        EXPERIMENT_NAME_PATTERN,
        "must be a label of RFC 1035: lower case letters, digits and '-', with a letter in front "
        "and a letter or digit at the end",
        value,
    )


def match_pattern(pattern: str, rule: str, value: str) -> str:
    """Return the value if all of it matches; raise the error of the rule if not."""
    if not re.fullmatch(pattern, value):
        raise broken(f"{rule}. Got: {show(value)}.")
    return value


def _finite(value: Any) -> Any:
    match value:
        case dict():
            for item in value.values():
                _finite(item)
        case list():
            for item in value:
                _finite(item)
        case float() if not math.isfinite(value):
            raise broken(f"must hold JSON values, whose numbers are finite. Got: {show(value)}.")
    return value


Integer: TypeAlias = Annotated[int, Field(strict=True)]
Number: TypeAlias = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Flag: TypeAlias = Annotated[bool, Field(strict=True)]
Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=253)]
ImportPath: TypeAlias = Annotated[
    str,
    Field(max_length=253),
    AfterValidator(partial(match_pattern, IMPORT_PATH_PATTERN, "must be written module:name")),
    WithJsonSchema({"type": "string", "maxLength": 253, "pattern": IMPORT_PATH_PATTERN}),
]
Label: TypeAlias = Annotated[
    str,
    Field(max_length=63),
    AfterValidator(
        partial(
            match_pattern,
            LABEL_PATTERN,
            "must be a label of RFC 1123: lower case letters, digits and '-', "
            "with a letter or digit at both ends",
        )
    ),
    WithJsonSchema({"type": "string", "maxLength": 63, "pattern": LABEL_PATTERN}),
]
ExperimentName: TypeAlias = Annotated[
    str,
    AfterValidator(_experiment_name),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": LONGEST_EXPERIMENT_NAME,
            "pattern": EXPERIMENT_NAME_PATTERN,
        }
    ),
]
Subdomain: TypeAlias = Annotated[
    str,
    Field(max_length=253),
    AfterValidator(partial(match_pattern, SUBDOMAIN_PATTERN, _SUBDOMAIN_RULE)),
    WithJsonSchema({"type": "string", "maxLength": 253, "pattern": SUBDOMAIN_PATTERN}),
]
SubdomainOrEmpty: TypeAlias = Annotated[
    str,
    Field(max_length=253),
    AfterValidator(
        partial(match_pattern, f"^$|{SUBDOMAIN_PATTERN}", f"{_SUBDOMAIN_RULE}, or empty")
    ),
    WithJsonSchema({"type": "string", "maxLength": 253, "pattern": f"^$|{SUBDOMAIN_PATTERN}"}),
]
JsonObject: TypeAlias = Annotated[dict[str, JsonValue], AfterValidator(_finite)]
