"""A table's signature: its tree of specs flattened once, and items checked against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import numpy as np
import optree

from greenroom.errors import SignatureError
from greenroom.replay.columns import Values
from greenroom.replay.tables import Table
from greenroom.specs import ArraySpec, Tree


class Signature:
    """Turns trees of items into lists of leaves, and back.

    Attributes:
        specs: of the leaves, in optree's order (dicts by sorted key).
        paths: where each leaf is, as Python would write it: ``items['observation']``.
    """

    def __init__(self, table: Table) -> None:
        specs, self._structure = optree.tree_flatten(table.signature)
        self._table = table.name
        self.specs: list[ArraySpec] = specs
        self.paths = [path.codify("items") for path in self._structure.accessors()]
        self._fixed = [
            (index, spec.dtype, spec.shape)
            for index, spec in enumerate(self.specs)
            if not spec.varies
        ]
        self._varying = [index for index, spec in enumerate(self.specs) if spec.varies]

    def flatten(self, items: Tree, count: int) -> list[Values]:
        """Return the leaves of ``count`` items.

        Raises:
            SignatureError: their structure, a dtype or a shape is not the table's.
        """
        try:
            leaves = self._structure.flatten_up_to(items)
        except (ValueError, TypeError) as error:
            raise SignatureError(
                f"Table {self._table!r}: items must have the structure {self._structure}. "
                f"Got: {error}"
            ) from None
        for index, dtype, shape in self._fixed:
            leaf = leaves[index]
            if (
                not isinstance(leaf, np.ndarray)
                or leaf.dtype != dtype
                or leaf.shape != (count, *shape)
            ):
                self._refuse(index, count, _describe(leaf))
        for index in self._varying:
            self._check_varying(index, leaves[index], count)
        return leaves

    def unflatten(self, leaves: Sequence[Values]) -> Tree:
        """Return the tree of these leaves."""
        return self._structure.unflatten(leaves)

    def describe(self) -> dict[str, str]:
        """Return the spec of each leaf in words, by path."""
        return {
            path: in_words(spec.dtype, spec.shape)
            for path, spec in zip(self.paths, self.specs, strict=True)
        }

    def _check_varying(self, index: int, values: Values, count: int) -> None:
        spec = self.specs[index]
        if not isinstance(values, Sequence | np.ndarray):
            self._refuse(index, count, _describe(values))
        if len(values) != count:
            self._refuse(index, count, f"{len(values)} of them")
        for value in values:
            if (
                not isinstance(value, np.ndarray)
                or value.dtype != spec.dtype
                or value.ndim != len(spec.shape)
                or value.shape[1:] != spec.shape[1:]
            ):
                self._refuse(index, count, _describe(value))

    def _refuse(self, index: int, count: int, got: str) -> NoReturn:
        spec = self.specs[index]
        if spec.varies:
            wanted = f"a sequence of {count} arrays {in_words(spec.dtype, spec.shape)}"
        else:
            wanted = f"an array {in_words(spec.dtype, (count, *spec.shape))}"
        raise SignatureError(
            f"Table {self._table!r}: {self.paths[index]} must be {wanted} for {count} items. "
            f"Got: {got}."
        )


def _describe(value: object) -> str:
    if isinstance(value, np.ndarray):
        return in_words(value.dtype, value.shape)
    return type(value).__name__


def in_words(dtype: np.dtype[np.generic], shape: tuple[int | None, ...]) -> str:
    """Say what an array is; a length of None is any."""
    return f"{dtype}[{', '.join('any' if n is None else str(n) for n in shape)}]"
