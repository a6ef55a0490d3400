"""Exploration: how a policy departs from what it believes to be best."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from greenroom.acting.schedules import LinearSchedule

# N environments, A actions.


@dataclass(frozen=True)
class EpsilonGreedy:
    """With probability epsilon a uniformly random action, else the one of the highest value.

    The random action may be the greedy one, so that epsilon 1 is uniform.
    """

    epsilon: LinearSchedule

    def __call__(
        self, values_NA: Tensor, generator: torch.Generator, environment_steps: int
    ) -> Tensor:
        """Return actions [N] int64."""
        num_envs, num_actions = values_NA.shape
        greedy_N = values_NA.argmax(dim=1)
        explore_N = torch.rand(num_envs, generator=generator) < self.epsilon(environment_steps)
        if not explore_N.any():
            return greedy_N
        random_N = torch.randint(num_actions, (num_envs,), generator=generator)
        return torch.where(explore_N, random_N, greedy_N)


@dataclass(frozen=True)
class Greedy:
    """Always the action of the highest value."""

    def __call__(
        self, values_NA: Tensor, generator: torch.Generator, environment_steps: int
    ) -> Tensor:
        """Return actions [N] int64."""
        return values_NA.argmax(dim=1)
