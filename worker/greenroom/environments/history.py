"""The actions of the episodes in progress, with which a resumed run replays them."""

from __future__ import annotations

import numpy as np
import optree

from greenroom.specs import Array, Tree

MEMORY_BYTES = 64 * 2**20
"""What one history may hold; at 64 environments with one int64 action, 131,072 steps."""

FIRST_ROWS = 256


class ActionHistory:
    """Vector actions, as far back as the oldest episode in progress began.

    It grows by doubling up to ``memory`` bytes. An episode that is longer than fits is
    no longer replayable: its beginning is dropped.

    Attributes:
        steps: how many vector actions were ever added; the clock by which episodes begin.
    """

    def __init__(self, num_envs: int, memory: int = MEMORY_BYTES) -> None:
        self.steps = 0
        self._num_envs = num_envs
        self._memory = memory
        self._buffers: list[Array] = []  # one for each leaf of an action, [rows, N, ...]
        self._used = 0
        self._rows = 0

    def add(self, action: Tree, began: Array) -> None:
        """Keep one vector action.

        Args:
            action: tree of arrays [N, ...].
            began: [N], the value of ``steps`` when each episode in progress began.
        """
        leaves = [action] if isinstance(action, np.ndarray) else optree.tree_leaves(action)
        if self._used == self._rows:
            self._make_room(leaves, int(began.min()))
        for buffer, leaf in zip(self._buffers, leaves, strict=True):
            buffer[self._used] = leaf
        self._used += 1
        self.steps += 1

    def lengths(self, began: Array) -> Array:
        """Return how many actions each episode has, [N] int64; -1 where some were dropped."""
        oldest = self.steps - self._used
        return np.where(began >= oldest, self.steps - began, -1)

    def packed(self, lengths: Array) -> list[Array]:
        """Return the last ``lengths`` actions of each environment, one array for each leaf.

        Step after step, and in a step environment after environment: `aligned` reads it.
        """
        rows = max(int(lengths.max()), 0)
        mask = _last(lengths, rows)
        return [buffer[self._used - rows : self._used][mask] for buffer in self._buffers]

    def _make_room(self, leaves: list[Array], oldest_began: int) -> None:
        most = max(self._memory // max(sum(leaf.nbytes for leaf in leaves), 1), 2)
        kept = min(self._used, self.steps - oldest_began)
        if 4 * kept > 3 * most:
            kept = most // 2
        # A quarter of the rows at least becomes free: a row is moved a bounded number of times.
        self._rows = min(max(2 * kept, FIRST_ROWS), most)
        old, start = self._buffers, self._used - kept
        self._buffers = [np.empty((self._rows, *leaf.shape), leaf.dtype) for leaf in leaves]
        for buffer, rows in zip(self._buffers, old, strict=False):
            buffer[:kept] = rows[start : start + kept]
        self._used = kept


def aligned(packed: Array, lengths: Array) -> Array:
    """Return packed actions [sum of lengths, ...] as [T, N, ...], all ending at row T - 1.

    T is the greatest length. Before an episode's first action stands some other
    recorded action, so that every row is valid to step with.
    """
    rows = max(int(lengths.max()), 0)
    out = np.empty((rows, len(lengths), *packed.shape[1:]), packed.dtype)
    if rows:
        out[:] = packed[:1]
        out[_last(lengths, rows)] = packed
    return out


def _last(lengths: Array, rows: int) -> Array:
    """Return [rows, N] bool: True in the last ``lengths`` rows of each column."""
    return np.asarray(np.arange(rows)[:, None] >= rows - lengths[None, :])
