"""Returns and lengths of the episodes that N environments play."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from greenroom.core import EnvironmentStep, State
from greenroom.specs import Array


class Finished(NamedTuple):
    """Episodes that ended together: of which environments, their returns and lengths; each [K]."""

    environments: Array
    returns: Array
    lengths: Array


NONE_FINISHED = Finished(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64))


class EpisodeTracker:
    """Adds up rewards and steps of each environment's episode in progress.

    Attributes:
        episodes: finished episodes so far.
        returns: undiscounted returns of the last ``window`` of them, oldest first.
    """

    def __init__(self, num_envs: int, window: int = 100) -> None:
        self.episodes = 0
        self.returns: deque[float] = deque(maxlen=window)
        self._return = np.zeros(num_envs, np.float64)
        self._length = np.zeros(num_envs, np.int64)

    def add(self, step: EnvironmentStep) -> Finished:
        """Take one vector step; return the episodes that ended with it."""
        self._return += step.reward * step.valid
        self._length += step.valid
        ended = (step.terminated | step.truncated) & step.valid
        if not np.count_nonzero(ended):
            return NONE_FINISHED
        finished = Finished(np.flatnonzero(ended), self._return[ended], self._length[ended])
        self.episodes += len(finished.returns)
        self.returns.extend(finished.returns.tolist())
        self.reset(ended)
        return finished

    def reset(self, mask: Array) -> None:
        """Forget the episodes in progress of the environments in ``mask`` ([N] bool)."""
        self._return[mask] = 0.0
        self._length[mask] = 0

    def mean_return(self) -> float | None:
        """Return the mean return of the window, None before the first episode ends."""
        return float(np.mean(self.returns)) if self.returns else None

    def state(self) -> State:
        """Return counts and episodes in progress, for a checkpoint."""
        return {
            "episodes": self.episodes,
            "returns": list(self.returns),
            "return": self._return.copy(),
            "length": self._length.copy(),
        }

    def restore_finished(self, state: State) -> None:
        """Take up of what `state` returned the episodes that ended, and begin the others anew."""
        self.episodes = state["episodes"]
        self.returns.clear()
        self.returns.extend(state["returns"])
        self.reset(np.ones(len(self._return), np.bool_))

    def restore(self, state: State) -> None:
        """Take up what `state` returned."""
        self.restore_finished(state)
        self._return[:] = state["return"]
        self._length[:] = state["length"]
