"""A ferry crosses a river: steer against the current, and land at the pier.

Each step takes the ferry one column on; the current moves it by up to one row, the rudder by up
to two. Only the last step counts: 1 at the pier, 0 beside it. Steering at random lands there
less than once in ten times, steering rightly always.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray


class Ferry(gymnasium.Env[NDArray[np.float32], np.int64]):
    """One episode takes ``columns`` steps.

    Observations are the rows to the pier, the columns to the far bank, both as shares, and the
    current that runs in this column: -1, 0 or 1. Actions 0 to 4 steer by -2 to 2 rows.

    Args:
        columns: how wide the river is.
        farthest: rows between start and pier, at most.
    """

    def __init__(self, columns: int = 6, farthest: int = 4) -> None:
        self._columns = columns
        self._farthest = farthest
        self.observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
        self.action_space = spaces.Discrete(5)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start at the near bank, in any row."""
        super().reset(seed=seed)
        self._left = self._columns
        self._rows = int(self.np_random.integers(-self._farthest, self._farthest + 1))
        self._current = int(self.np_random.integers(-1, 2))
        return self._observation(), {}

    def step(
        self, action: np.int64
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Cross one column."""
        self._rows += int(action) - 2 + self._current
        self._left -= 1
        self._current = int(self.np_random.integers(-1, 2))
        over = self._left == 0
        reward = float(over and self._rows == 0)
        return self._observation(), reward, over, False, {}

    def _observation(self) -> NDArray[np.float32]:
        rows, left = self._rows / self._farthest, self._left / self._columns
        return np.array([rows, left, self._current], np.float32)
