"""Tables as plain JSON, so that a replay server needs neither the agent nor its libraries.

>>> number = ArraySpec((None, 4), np.dtype(np.float32))
>>> description = tables_to_json([Table.queue("unrolls", 8, {"observation": number})])
>>> description["tables"][0]["signature"]
{'dict': {'observation': {'dtype': 'float32', 'shape': [None, 4]}}}
>>> tables_from_json(description)[0].max_size
8

A signature is nested: ``{"dict": {name: node}}``, ``{"list": [node]}``, ``{"tuple": [node]}``,
and leaves ``{"dtype": name, "shape": [lengths]}``. The order of its leaves is kept, since it
is all that names a column on the wire; node types that JSON cannot tell (a named tuple, an
ordered dict) become tuples.
"""

from __future__ import annotations

import reprlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import numpy as np
import optree

from greenroom.errors import ConfigurationError
from greenroom.replay.tables import (
    NO_LIMIT,
    Fifo,
    Lifo,
    Prioritized,
    RateLimiter,
    Selector,
    Table,
    Uniform,
)
from greenroom.specs import ArraySpec, Tree

Json: TypeAlias = dict[str, Any]

VERSION: Final = 1
# Every JSON parser reads these exactly, and Reverb stores sizes in 64 bits, times in 32.
LARGEST_SIZE: Final = 2**53 - 1
LARGEST_TIMES: Final = 2**31 - 1
DTYPES: Final = tuple(np.dtype(code).name for code in "?bhiqBHIQefdFD")
"""Booleans, integers, floats and complex numbers; written in native byte order only."""
_SELECTORS: Final[dict[str, type[Uniform | Fifo | Lifo]]] = {
    "Uniform": Uniform,
    "Fifo": Fifo,
    "Lifo": Lifo,
}


def tables_to_json(tables: Sequence[Table]) -> Json:
    """Return plain JSON values from which `tables_from_json` makes equal tables.

    Raises:
        ConfigurationError: a table has something that has no description: an infinite
            bound, a dtype that is not a number's in native byte order.
    """
    description = {"version": VERSION, "tables": [_table_to_json(table) for table in tables]}
    tables_from_json(description)  # what nobody could read is refused where it is written
    return description


def tables_from_json(value: object) -> list[Table]:
    """Return the tables that `tables_to_json` described.

    Raises:
        ConfigurationError: the value is no such description; says where, the rule, and
            what is there.
    """
    if not isinstance(value, dict) or value.get("version") != VERSION:
        got = f"version {value.get('version')!r}" if isinstance(value, dict) else _show(value)
        raise ConfigurationError(
            f"A description of tables must be an object of version {VERSION}. Got: {got}."
        )
    _, described = _fields(value, "a description of tables", "version", "tables")
    tables = [
        _table_from_json(table, f"tables[{index}]")
        for index, table in enumerate(_list(described, "tables"))
    ]
    names = [table.name for table in tables]
    if not names or len(set(names)) < len(names):
        raise ConfigurationError(
            f"A replay needs tables, each with a name of its own. Got: {names}."
        )
    return tables


def differences(before: Json, after: Json) -> list[str]:
    """Say what changed from one description to another, one line each; empty if nothing did."""
    old, new = (
        {f"table {table['name']!r}": table for table in description["tables"]}
        for description in (before, after)
    )
    return list(_differences("", old, new))


def _differences(place: str, before: object, after: object) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in before | after:
            inner = f"{place}.{name}" if place else name
            if name not in after:
                yield f"{inner} is gone"
            elif name not in before:
                yield f"{inner} is new"
            else:
                yield from _differences(inner, before[name], after[name])
    elif before != after:
        yield f"{place} was {_show(before)}, is {_show(after)}"


# --- tables and their parts --------------------------------------------------------------------


def _table_to_json(table: Table) -> Json:
    limiter = table.limiter
    return {
        "name": table.name,
        "sampler": _selector_to_json(table.sampler),
        "remover": _selector_to_json(table.remover),
        "limiter": {
            "samplesPerInsert": limiter.samples_per_insert,
            "minSize": limiter.min_size,
            "minDiff": limiter.min_diff,
            "maxDiff": limiter.max_diff,
        },
        "maxSize": table.max_size,
        "maxTimesSampled": table.max_times_sampled,
        "signature": _signature_to_json(table.signature, f"table {table.name!r}: signature"),
    }


def _table_from_json(value: object, place: str) -> Table:
    name, sampler, remover, limiter, max_size, max_times_sampled, signature = _fields(
        value,
        place,
        *("name", "sampler", "remover", "limiter", "maxSize", "maxTimesSampled", "signature"),
    )
    if not isinstance(name, str) or not name:
        raise _refused(f"{place}.name", "a text that is not empty", name)
    parts = {
        "sampler": _selector_from_json(sampler, f"{place}.sampler"),
        "remover": _selector_from_json(remover, f"{place}.remover"),
        "limiter": _limiter_from_json(limiter, f"{place}.limiter"),
        "max_size": _integer(max_size, f"{place}.maxSize", 1, LARGEST_SIZE),
        "max_times_sampled": _integer(
            max_times_sampled, f"{place}.maxTimesSampled", 0, LARGEST_TIMES
        ),
        "signature": _signature_from_json(signature, f"{place}.signature"),
    }
    with _at(place):
        return Table(name, **parts)


def _selector_to_json(selector: Selector) -> Json:
    if isinstance(selector, Prioritized):
        return {"type": "Prioritized", "exponent": selector.exponent}
    return {"type": type(selector).__name__}


def _selector_from_json(value: object, place: str) -> Selector:
    match value:
        case {"type": "Prioritized"}:
            _, exponent = _fields(value, place, "type", "exponent")
            number = _number(exponent, f"{place}.exponent")
            with _at(place):
                return Prioritized(number)
        case {"type": "Uniform" | "Fifo" | "Lifo" as name}:
            _fields(value, place, "type")
            return _SELECTORS[name]()
    raise _refused(place, "an object of type Uniform, Fifo, Lifo or Prioritized", value)


def _limiter_from_json(value: object, place: str) -> RateLimiter:
    samples_per_insert, min_size, min_diff, max_diff = _fields(
        value, place, "samplesPerInsert", "minSize", "minDiff", "maxDiff"
    )
    numbers = {
        "samples_per_insert": _number(samples_per_insert, f"{place}.samplesPerInsert"),
        "min_diff": _number(min_diff, f"{place}.minDiff"),
        "max_diff": _number(max_diff, f"{place}.maxDiff"),
    }
    with _at(place):
        return RateLimiter(
            min_size=_integer(min_size, f"{place}.minSize", 1, LARGEST_SIZE), **numbers
        )


def _signature_to_json(tree: Tree, place: str) -> Json:
    if isinstance(tree, ArraySpec):
        shape = [None if length is None else int(length) for length in tree.shape]
        return {"dtype": str(tree.dtype), "shape": shape}
    try:
        children, _, entries, _ = optree.tree_flatten_one_level(tree)
    except ValueError:
        raise _refused(place, "a tree of ArraySpec", tree) from None
    described = [
        _signature_to_json(child, f"{place}[{entry!r}]")
        for child, entry in zip(children, entries, strict=True)
    ]
    if type(tree) in (dict, defaultdict) and all(isinstance(entry, str) for entry in entries):
        return {"dict": dict(zip(entries, described, strict=True))}
    return {"list" if type(tree) is list else "tuple": described}


def _signature_from_json(value: object, place: str) -> Tree:
    match value:
        case {"dict": dict() as children, **rest} if not rest:
            return {
                _key(name, place): _signature_from_json(child, f"{place}[{name!r}]")
                for name, child in children.items()
            }
        case {"list": list() as children, **rest} if not rest:
            return _nodes(children, place)
        case {"tuple": list() as children, **rest} if not rest:
            return tuple(_nodes(children, place))
        case {"dtype": dtype, "shape": shape, **rest} if not rest:
            return _spec_from_json(dtype, shape, place)
    raise _refused(place, 'an object with "dict", "list", "tuple", or "dtype" and "shape"', value)


def _nodes(children: list[Any], place: str) -> list[Tree]:
    return [
        _signature_from_json(child, f"{place}[{index}]") for index, child in enumerate(children)
    ]


def _spec_from_json(dtype: object, shape: object, place: str) -> ArraySpec:
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise _refused(f"{place}.dtype", f"one of {', '.join(DTYPES)}", dtype)
    lengths = [
        None
        if length is None and dimension == 0
        else _integer(length, f"{place}.shape[{dimension}]", 0, LARGEST_SIZE)
        for dimension, length in enumerate(_list(shape, f"{place}.shape"))
    ]
    return ArraySpec(tuple(lengths), np.dtype(dtype))


# --- reading values, with their place in every error ---------------------------------------------


def _fields(value: object, place: str, *names: str) -> list[Any]:
    if not isinstance(value, dict):
        raise _refused(place, f"an object with the fields {', '.join(names)}", value)
    if set(value) != set(names):
        raise ConfigurationError(
            f"{place} must have the fields {', '.join(names)}, and no others. "
            f"Got: {', '.join(map(str, value)) or 'none'}."
        )
    return [value[name] for name in names]


def _list(value: object, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise _refused(place, "a list", value)
    return value


def _integer(value: object, place: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _refused(place, f"an integer from {low} to {high}", value)
    return value


def _number(value: object, place: str) -> float:
    # "No limit" is the largest double (`NO_LIMIT`); JSON has no infinity.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= NO_LIMIT:
        raise _refused(place, "a finite number", value)
    return float(value)


def _key(name: object, place: str) -> str:
    if not isinstance(name, str):
        raise _refused(place, "an object whose keys are texts", name)
    return name


def _refused(place: str, rule: str, value: object) -> ConfigurationError:
    return ConfigurationError(f"{place} must be {rule}. Got: {_show(value)}.")


def _show(value: object) -> str:
    return reprlib.repr(value)


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Put the place in front of what a constructor refuses."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {error}") from None
