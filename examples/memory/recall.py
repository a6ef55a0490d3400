"""A task that cannot be solved without a memory: name the symbol that was shown first.

The first observation shows a symbol; those after it show others, drawn at random, which
mean nothing; the last one asks. An episode of two symbols and delay 3::

    step          0      1      2      3      4
    shown         B      A      B      A      -
    flag        look                         ask
    action        .      .      .      .      B        reward 1

Every action before the last is ignored. Guessing returns 1 / symbols on average.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray


class Recall(gymnasium.Env[NDArray[np.float32], np.int64]):
    """One episode takes ``delay + 2`` steps.

    Observations are one-hot symbols with two flags behind them: "look", at the first step,
    and "ask", at the last.

    Args:
        symbols: how many there are, at least 2.
        delay: steps with meaningless symbols.
    """

    def __init__(self, symbols: int = 4, delay: int = 8) -> None:
        self._symbols = symbols
        self._delay = delay
        self.observation_space = spaces.Box(0.0, 1.0, (symbols + 2,), np.float32)
        self.action_space = spaces.Discrete(symbols)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Show the symbol."""
        super().reset(seed=seed)
        self._step = 0
        self._shown = int(self.np_random.integers(self._symbols))
        return self._observation(self._shown, look=True), {}

    def step(
        self, action: np.int64
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Ignore the action, but for the last."""
        self._step += 1
        if self._step <= self._delay:
            another = int(self.np_random.integers(self._symbols))
            return self._observation(another), 0.0, False, False, {}
        over = self._step == self._delay + 2
        reward = float(over and action == self._shown)
        return self._observation(None, ask=True), reward, over, False, {}

    def _observation(
        self, symbol: int | None, *, look: bool = False, ask: bool = False
    ) -> NDArray[np.float32]:
        observation = np.zeros(self._symbols + 2, np.float32)
        if symbol is not None:
            observation[symbol] = 1.0
        observation[-2:] = look, ask
        return observation
