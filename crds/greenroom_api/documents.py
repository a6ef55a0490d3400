"""YAML as kubectl reads it, with every mistake located.

PyYAML follows YAML 1.1, where ``1e-3`` is a string, ``1:30`` is 90 and ``2026-01-01`` a
date. kubectl's parser has them as a number and two strings, and so has this one. An
integer may be written ``2e5``, as it becomes one in the JSON that kubectl sends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from greenroom_api.errors import Problem
from greenroom_api.problems import join_path
from greenroom_api.values import show

_FLOAT = re.compile(
    r"""^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?
    |[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)
_INTEGER = re.compile(
    r"^[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|0|[1-9][0-9_]*)$",
)
_KEPT = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")
_STRING = "tag:yaml.org,2002:str"


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """Return how plain scalars get their type: by first character, the first match wins."""
    resolvers = {
        first: [(tag, pattern) for tag, pattern in entries if tag in _KEPT]
        for first, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for first in "-+.0123456789":
        numbers = [("tag:yaml.org,2002:int", _INTEGER), ("tag:yaml.org,2002:float", _FLOAT)]
        resolvers[first] = [*resolvers.get(first, []), *numbers]
    return resolvers


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = _resolvers()

    def construct_number(self, node: yaml.ScalarNode) -> float:
        """Return a float, or the integer that was written with an exponent only."""
        value = self.construct_yaml_float(node)
        return int(value) if "." not in node.value and value.is_integer() else value


_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_number)


class _Dumper(yaml.SafeDumper):
    # The loader's own, so that a string that reads like a number gets its quotes.
    yaml_implicit_resolvers = _resolvers()

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Write a string; quote what PyYAML would otherwise fold as if it were a line's end."""
        quoted = any(character in text for character in "\x85\u2028\u2029")
        return self.represent_scalar(_STRING, text, style='"' if quoted else None)

    def ignore_aliases(self, data: Any) -> bool:
        """Write a value that occurs twice twice, as people do."""
        return True


_Dumper.add_representer(str, _Dumper.represent_text)


class UnreadableDocument(Exception):
    """The text is not one YAML document; ``problem`` says what and where."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


def read_document(text: str) -> tuple[Any, list[Problem]]:
    """Return the one document of ``text``, and what it says twice or has no name for.

    Raises:
        UnreadableDocument: broken YAML, no document, or several.
    """
    try:
        nodes = list(yaml.compose_all(text, _Loader))
        if not nodes:
            raise UnreadableDocument(Problem("", "must hold one document. Got: an empty file."))
        if len(nodes) > 1:
            raise UnreadableDocument(
                Problem("", f"must hold one document. Got: {len(nodes)}, parted by ---.")
            )
        problems = list(_check(nodes[0], "", ()))
        return yaml.load(text, _Loader), problems
    except yaml.MarkedYAMLError as error:
        raise UnreadableDocument(_located(error)) from error
    except yaml.reader.ReaderError as error:
        raise UnreadableDocument(_unprintable(text, error)) from error
    except RecursionError as error:
        raise UnreadableDocument(Problem("", "must not be nested so deeply.")) from error


def write_document(value: Any) -> str:
    """Return plain values as YAML, keys in their order."""
    return yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, indent=2
    )


def _check(node: yaml.Node, path: str, around: tuple[yaml.Node, ...]) -> Iterator[Problem]:
    if node in around:
        mark = node.start_mark
        raise UnreadableDocument(
            Problem(path, f"an alias must not stand inside what it names, on line {mark.line + 1}.")
        )
    around = (*around, node)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _check(item, join_path(path, (index,)), around)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag == "tag:yaml.org,2002:merge":
                yield from _check(value, path, around)
                continue
            if key.tag != _STRING:
                yield Problem(
                    path,
                    f"must have strings as keys, in quotes if need be. Got: {_source(key)}, on "
                    f"line {line}.",
                )
                continue
            where = join_path(path, (key.value,))
            if key.value in lines:
                yield Problem(
                    where, f"must be given once. Got: lines {lines[key.value]} and {line}."
                )
            lines[key.value] = line
            yield from _check(value, where, around)


def _source(key: yaml.Node) -> str:
    return str(key.value) if isinstance(key, yaml.ScalarNode) else "a list or an object"


def _located(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    told = ", ".join(part for part in (error.context, error.problem) if part)
    return Problem("", f"{place}not valid YAML: {told}.")


def _unprintable(text: str, error: yaml.reader.ReaderError) -> Problem:
    before = text[: error.position]
    line, column = before.count("\n") + 1, error.position - before.rfind("\n")
    return Problem(
        "",
        f"line {line}, column {column}: not valid YAML: must be printable characters. "
        f"Got: {show(text[error.position : error.position + 1])}.",
    )
