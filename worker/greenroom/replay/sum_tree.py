"""A sum tree: draw in proportion to weights, change weights, both in O(log n) each.

A complete binary tree in one array: node i has the children 2i and 2i + 1, node 1 is
the root, and the leaves are the weights in slot order. Every inner node is the
rounded sum of its two children, never a running total that differences are added
to. So sums carry no history: a tree rebuilt from its leaves is bit-equal.

Changed leaves only note themselves down; their ancestors are computed when sums are
next read, once for all changes since. So inserts cost next to nothing, and an
eviction followed by an insert in the same slot costs no more than one change.
"""

from __future__ import annotations

import numpy as np

from greenroom.specs import Array


class SumTree:
    """Weights of ``capacity`` slots, 0 to begin with.

    >>> tree = SumTree(4)
    >>> tree.set(np.array([0, 2]), np.array([1.0, 3.0]))
    >>> tree.total
    4.0
    >>> tree.find(np.array([0.5, 1.0, 3.9]))
    array([0, 2, 2])
    """

    def __init__(self, capacity: int) -> None:
        self._depth = max(capacity - 1, 0).bit_length()
        self._first_leaf = 1 << self._depth
        self._nodes = np.zeros(2 * self._first_leaf, np.float64)
        # One row per level above the leaves: how far to shift a leaf to its ancestor.
        self._shifts = np.arange(1, self._depth + 1)[:, None]
        self._changed: list[Array] = []
        self._num_changed = 0

    @property
    def total(self) -> float:
        self._sum_up()
        return float(self._nodes[1])

    def get(self, slots: Array) -> Array:
        """Return the weights of ``slots``."""
        return self._nodes.take(slots + self._first_leaf)

    def set(self, slots: Array, weights: Array | float) -> None:
        """Set weights, finite and not negative; of equal slots the last one counts."""
        leaves = slots + self._first_leaf
        self._nodes[leaves] = weights
        # More than that are cheaper to sum up all at once, and need no list.
        if self._num_changed <= self._first_leaf // 8:
            self._changed.append(leaves)
            self._num_changed += len(leaves)

    def find(self, targets: Array) -> Array:
        """Return for each target in [0, total) the slot in whose share of the total it lies.

        The slot has a positive weight, whatever the rounding, provided that one has.
        """
        self._sum_up()
        nodes = self._nodes
        targets = targets.copy()
        node = np.ones(len(targets), np.intp)
        for _ in range(self._depth):
            node <<= 1
            left = nodes.take(node)
            right_turns = targets >= left
            targets -= left * right_turns
            node += right_turns
        for index in np.flatnonzero(nodes.take(node) == 0.0):
            node[index] = self._last_weight_before(int(node[index]))
        return node - self._first_leaf

    def _sum_up(self) -> None:
        """Compute the ancestors of changed leaves, from the leaves upwards."""
        if not self._changed:
            return
        nodes = self._nodes
        if self._num_changed > self._first_leaf // 8:
            begin = self._first_leaf
            while begin > 1:
                np.add(
                    nodes[begin : 2 * begin : 2],
                    nodes[begin + 1 : 2 * begin : 2],
                    out=nodes[begin // 2 : begin],
                )
                begin //= 2
        else:
            ancestors = np.concatenate(self._changed) >> self._shifts
            left = ancestors << 1
            right = left | 1
            for level in range(self._depth):
                nodes[ancestors[level]] = nodes.take(left[level]) + nodes.take(right[level])
        self._changed.clear()
        self._num_changed = 0

    def _last_weight_before(self, leaf: int) -> int:
        """Return the leaf that was meant where rounding led just past the weights of a subtree."""
        nodes = self._nodes
        node = leaf
        while not node & 1 or nodes[node - 1] == 0.0:
            node >>= 1
        node -= 1
        while node < self._first_leaf:
            node = 2 * node + 1 if nodes[2 * node + 1] > 0.0 else 2 * node
        return node
