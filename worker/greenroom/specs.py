"""Shapes and dtypes of data, as trees.

A *tree* is a value nested in dicts, tuples and lists; its leaves are arrays (or
tensors, or `ArraySpec`). Greenroom maps over trees with ``optree`` and never
asks what a leaf means. A plain array is the smallest tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Tree: TypeAlias = Any
"""A nested dict, tuple or list of leaves; the leaves are named where the type is used."""


@dataclass(frozen=True)
class ArraySpec:
    """Shape and dtype of one leaf, without a batch dimension.

    Attributes:
        shape: lengths of the dimensions. The first may be None: a length that
            differs from item to item (a whole episode). Batches of such items
            are padded with zeros to their longest.
        dtype: numpy dtype; never ``object``.
    """

    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", np.dtype(self.dtype))
        if self.dtype.hasobject:
            raise ValueError(f"An array spec needs a plain dtype. Got: {self.dtype}.")
        if None in self.shape[1:]:
            raise ValueError(f"Only the first dimension may vary. Got: shape={self.shape}.")

    @property
    def varies(self) -> bool:
        """Whether the first dimension's length differs from item to item."""
        return bool(self.shape) and self.shape[0] is None

    def with_leading(self, *lengths: int | None) -> ArraySpec:
        """Return the spec with dimensions put in front, such as time."""
        return ArraySpec((*lengths, *self.shape), self.dtype)
