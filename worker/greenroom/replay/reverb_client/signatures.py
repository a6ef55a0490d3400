"""A server's signature of a table, compared with ours before anything is written or read.

The server itself checks nothing: items of another dtype or shape would be stored,
and end the official readers that meet them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import optree

from greenroom.errors import ConfigurationError, SignatureError
from greenroom.replay.reverb_client.tensors import DTYPES, NUMBERS
from greenroom.replay.signature import Signature, in_words
from greenroom.replay.tables import Table
from greenroom.specs import ArraySpec

Path = tuple[str | int, ...]


class ServerLeaf(NamedTuple):
    """One leaf of a server's signature; ``shape`` is None if even its rank is unknown."""

    path: Path
    dtype: np.dtype[Any] | None
    shape: tuple[int | None, ...] | None

    def admits(self, spec: ArraySpec) -> bool:
        """Whether every array of this spec is one of this leaf's."""
        return self.dtype == spec.dtype and (
            self.shape is None
            or (
                len(self.shape) == len(spec.shape)
                and all(
                    n is None or n == ours for n, ours in zip(self.shape, spec.shape, strict=True)
                )
            )
        )

    def __str__(self) -> str:
        where = "".join(f"[{key!r}]" for key in self.path)
        if self.dtype is None:
            return f"items{where}, a dtype that numpy does not have"
        shape = "of any shape" if self.shape is None else ""
        return f"items{where} {in_words(self.dtype, self.shape or ())} {shape}".rstrip()


def check_supported(table: Table) -> None:
    """Raise `ConfigurationError` if the table's items cannot be sent to a Reverb server."""
    signature = Signature(table)
    if not signature.specs:
        raise ConfigurationError(
            f"Table {table.name!r}: items must have at least one leaf. Got: {table.signature}."
        )
    for path, spec in zip(signature.paths, signature.specs, strict=True):
        if spec.dtype not in NUMBERS:
            raise ConfigurationError(
                f"Table {table.name!r}: {path} must have one of the dtypes "
                f"{sorted(map(str, NUMBERS))}. Got: {spec.dtype!r}."
            )


def check_signature(table: Table, structure: Any) -> None:
    """Compare a table with the signature that the server has for it, if it has one.

    Dictionaries must have the same keys. Of what kind a sequence is does not matter: named
    tuples and ordered dictionaries are described as plain tuples.

    Raises:
        SignatureError: naming the first leaf that differs.
    """
    theirs = list(_flatten(structure, ()))
    if not theirs:
        return  # it was started without one, and accepts everything
    signature = Signature(table)
    ours: Sequence[Path] = optree.tree_paths(table.signature)
    for path, name, spec, leaf in zip(ours, signature.paths, signature.specs, theirs, strict=False):
        if not _is_same(path, leaf.path) or not leaf.admits(spec):
            raise SignatureError(
                f"Table {table.name!r}: the server's signature must admit {name} "
                f"{in_words(spec.dtype, spec.shape)}. Got: {leaf}."
            )
    if len(ours) != len(theirs):
        raise SignatureError(
            f"Table {table.name!r}: the server's signature must have {len(ours)} leaves, "
            f"{', '.join(signature.paths)}. Got: {len(theirs)}, {', '.join(map(str, theirs))}."
        )


def _is_same(ours: Path, theirs: Path) -> bool:
    """Whether two paths agree where both are names, and where both are numbers."""
    return len(ours) == len(theirs) and all(
        mine == other or type(mine) is not type(other)
        for mine, other in zip(ours, theirs, strict=True)
    )


def _flatten(structure: Any, path: Path) -> Iterator[ServerLeaf]:
    kind = structure.WhichOneof("kind")
    if kind in (None, "none"):
        return
    value = getattr(structure, kind)
    match kind:
        case "tensor_spec" | "bounded_tensor_spec":
            yield ServerLeaf(path, DTYPES.get(value.dtype), _shape(value.shape))
        case "dict":
            for field in sorted(value.fields, key=lambda field: str(field.key)):
                yield from _flatten(field.value, (*path, field.key))
        case "named_tuple":
            for index, field in enumerate(value.fields):
                yield from _flatten(field.value, (*path, index))
        case "list" | "tuple":
            for index, child in enumerate(value.values):
                yield from _flatten(child, (*path, index))


def _shape(shape: Any) -> tuple[int | None, ...] | None:
    if shape.unknown_rank:
        return None
    return tuple(None if dim.size < 0 else dim.size for dim in shape.dim)
