"""From pydantic's errors to problems that state the rule and then what it got."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from greenroom_api.errors import Problem
from greenroom_api.pod_template import WrittenAs
from greenroom_api.values import show

Location: TypeAlias = tuple[int | str, ...]

_AN_OBJECT = "must be an object, with fields of its own"

# What each of pydantic's errors means to somebody who writes YAML.
_RULES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "missing": lambda _: "is required",
    "int_type": lambda _: "must be an integer",
    "float_type": lambda _: "must be a number",
    "finite_number": lambda _: "must be a finite number",
    "bool_type": lambda _: "must be true or false",
    "string_type": lambda _: "must be a string",
    "tuple_type": lambda _: "must be a list",
    "model_type": lambda _: _AN_OBJECT,
    "dict_type": lambda _: _AN_OBJECT,
    "model_attributes_type": lambda _: _AN_OBJECT,
    "invalid_key": lambda _: "must have strings as keys",
    "invalid-json-value": lambda _: "must be a JSON value",
    "literal_error": lambda context: f"must be {context['expected'].replace(chr(39), '')}",
    "greater_than": lambda context: f"must be greater than {context['gt']:g}",
    "greater_than_equal": lambda context: f"must be at least {_number(context['ge'])}",
    "less_than": lambda context: f"must be less than {_number(context['lt'])}",
    "less_than_equal": lambda context: f"must be at most {_number(context['le'])}",
    "too_short": lambda context: f"must have at least {context['min_length']} entries",
    "too_long": lambda context: f"must have at most {context['max_length']} entries",
    "string_too_short": lambda context: f"must have at least {context['min_length']} characters",
    "string_too_long": lambda context: f"must have at most {context['max_length']} characters",
}


def problems_of(error: ValidationError, model: type[BaseModel], path: str = "") -> list[Problem]:
    """Return what a validation of ``model`` found, in the order in which it found it.

    Args:
        error: raised by ``model``; any pydantic model, of this API or of a custom agent.
        model: tells which fields there are, for suggestions.
        path: where the validated value stands in the file.
    """
    found = [_problem(details, model, path) for details in error.errors(include_url=False)]
    return list(dict.fromkeys(found))


def join_path(path: str, location: Iterable[int | str]) -> str:
    """Return the path of a value inside ``path``: ``spec.environment.wrappers[0].name``."""
    for key in location:
        if isinstance(key, int):
            path += f"[{key}]"
        else:
            path += f".{key}" if path else key
    return path


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return what was probably meant, or else all that there is."""
    by_spelling = {_plain(candidate): candidate for candidate in known}
    close = difflib.get_close_matches(_plain(name), by_spelling, n=1, cutoff=0.6)
    if close:
        return f"did you mean {by_spelling[close[0]]}?"
    return f"known are {', '.join(by_spelling.values())}."


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _problem(details: ErrorDetails, model: type[BaseModel], path: str) -> Problem:
    location = details["loc"]
    # pydantic marks an error of a key, rather than of its value, at the end.
    if location and location[-1] == "[key]":
        return Problem(
            join_path(path, location[:-2]),
            f"must have strings as keys. Got: {show(details['input'])}.",
        )
    where = join_path(path, location)
    context = details.get("ctx", {})
    match details["type"]:
        case "rule":
            return Problem(where, details["msg"])
        case "extra_forbidden":
            owner = _model_at(model, location[:-1])
            known = [] if owner is None else _names(owner)
            return Problem(where, f"unknown field, {suggestion(str(location[-1]), known)}")
        case "missing":
            return Problem(where, "is required. Got: nothing.")
        case kind if kind in _RULES:
            return Problem(where, f"{_RULES[kind](context)}. Got: {show(details['input'])}.")
    return Problem(where, f"{details['msg']}. Got: {show(details['input'])}.")


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(model: type[BaseModel], location: Location) -> type[BaseModel] | None:
    """Return the model whose fields stand at ``location`` in a value of ``model``."""
    owner: type[BaseModel] | None = model
    for key in location:
        if isinstance(key, int):
            continue  # an entry of a list: the field before has named its model
        if owner is None:
            return None
        fields = {field.alias or name: field for name, field in owner.model_fields.items()}
        owner = _model_in(fields[key].annotation) if key in fields else None
    return owner


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model in an annotation such as ``DQN | None`` or ``tuple[Wrapper, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if isinstance(annotation, WrittenAs):
        return annotation.model
    return next(filter(None, map(_model_in, get_args(annotation))), None)
