"""Reading vector steps: what every adder does before anything of its own."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import optree

from greenroom.core import Transitions
from greenroom.errors import SignatureError
from greenroom.spaces import EnvironmentSpec
from greenroom.specs import Array, ArraySpec, Tree

Rows: TypeAlias = Array | slice
"""Which environments a step's rows belong to: all of them as a slice, so that what is
indexed by it stays a view, or their [M] indices."""

Structure: TypeAlias = Any
"""An ``optree.PyTreeSpec``; optree's own annotations reject our trees, whose leaves are Any."""

REWARD: Tree = ArraySpec((), np.dtype(np.float32))
FLAG: Tree = ArraySpec((), np.dtype(np.bool_))


class StepReader:
    """Checks and casts `Transitions`, and leaves out the rows that hold nothing.

    Shapes: N environments, M of them with a valid row.
    """

    def __init__(self, spec: EnvironmentSpec, num_envs: int, extras: Tree) -> None:
        signature: Tree = Transitions(
            observation=spec.observations,
            action=spec.actions,
            reward=REWARD,
            terminated=FLAG,
            truncated=FLAG,
            next_observation=spec.observations,
            extras=extras,
            valid=FLAG,
        )
        self._num_envs = num_envs
        self._structure: Structure = optree.tree_structure(signature)
        self._paths = optree.tree_paths(signature)
        leaves: list[Any] = optree.tree_leaves(signature)
        self._expected = [((num_envs, *leaf.shape), leaf.dtype) for leaf in leaves]

    def read(self, transitions: Transitions) -> tuple[Transitions, Rows]:
        """Return the valid rows, leaves [M, ...], and whose they are.

        Leaves that need no change are the caller's own arrays, not copies.

        Raises:
            SignatureError: a tree, a shape or a dtype is not the spec's.
        """
        try:
            leaves = self._structure.flatten_up_to(transitions)
        except ValueError as error:
            raise SignatureError(
                "A step's trees must be those of the environment's spec and of the extras "
                f"declared to the adder. Got: {error}"
            ) from error
        for index, (shape, dtype) in enumerate(self._expected):
            leaf = leaves[index]
            if getattr(leaf, "shape", None) != shape or leaf.dtype != dtype:
                leaves[index] = self._fit(index, leaf)
        valid = leaves[-1]
        if np.count_nonzero(valid) == self._num_envs:
            return self._structure.unflatten(leaves), slice(None)
        rows = valid.nonzero()[0]
        return self._structure.unflatten([leaf.take(rows, axis=0) for leaf in leaves]), rows

    def _fit(self, index: int, leaf: Any) -> Array:
        shape, dtype = self._expected[index]
        array = np.asarray(leaf)
        # A float cut to an integer loses what it said; integers only change their width.
        integers = array.dtype.kind in "iu" and dtype.kind in "iu"
        castable = integers or np.can_cast(array.dtype, dtype, "same_kind")
        if array.shape != shape or not castable:
            field, *path = self._paths[index]
            where = Transitions._fields[field] + "".join(f"[{key!r}]" for key in path)
            raise SignatureError(
                f"A step's {where} must be {dtype}{list(shape)}, or cast to it without loss of "
                f"kind. Got: {array.dtype}{list(array.shape)}."
            )
        return array.astype(dtype)


def zeros(signature: Tree, length: int) -> list[Array]:
    """Return arrays of zeros [length, ...], one for each leaf of a tree of `ArraySpec`."""
    leaves: list[Any] = optree.tree_leaves(signature)
    return [np.zeros((length, *leaf.shape), leaf.dtype) for leaf in leaves]
