"""Overrides of single fields: ``spec.stop.environmentSteps=3000``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from greenroom_api.documents import UnreadableDocument, read_document
from greenroom_api.errors import Problem
from greenroom_api.values import show


def apply_override(document: Mapping[str, Any], override: str) -> dict[str, Any]:
    """Return the document with one field replaced, objects on the way to it made as needed.

    An entry of a list is named by its number: ``spec.environment.wrappers.0.name``.
    Whether there is such a field is for validation to say.

    Args:
        document: left as it is.
        override: ``PATH=VALUE``, the value in YAML.

    Raises:
        UnreadableDocument: the override is not of that form, or leads through what has
            no fields.
    """
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise UnreadableDocument(
            Problem("", f"an override must be written PATH=VALUE. Got: {show(override)}.")
        )
    try:
        value, problems = read_document(text) if text.strip() else ("", [])
    except UnreadableDocument as error:
        raise UnreadableDocument(Problem(path, error.problem.message)) from error
    if problems:
        raise UnreadableDocument(Problem(path, str(problems[0])))
    changed: dict[str, Any] = _replace(document, keys, value, path)
    return changed


def _replace(container: Any, keys: list[str], value: Any, path: str) -> Any:
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    match container:
        case None:
            return {key: _replace(None, rest, value, path)}
        case Mapping():
            return {**container, key: _replace(container.get(key), rest, value, path)}
        case list() if key.isdecimal() and int(key) < len(container):
            index = int(key)
            changed = _replace(container[index], rest, value, path)
            return [*container[:index], changed, *container[index + 1 :]]
        case list():
            rule = f"must name an entry of a list of {len(container)}, counted from 0"
            raise UnreadableDocument(Problem(path, f"{rule}. Got: {key}."))
    raise UnreadableDocument(
        Problem(path, f"must lead through objects. Got: {show(container)} before {key}.")
    )
