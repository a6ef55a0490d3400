"""Evaluation: whole episodes of a policy at its best, which no replay ever sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import optree
import torch

from greenroom.acting.actor import reset_state, to_arrays, to_tensors
from greenroom.acting.episodes import EpisodeTracker
from greenroom.core import EnvironmentStep, Policy
from greenroom.specs import Tree

MAX_ENVIRONMENTS = 16


@dataclass(frozen=True)
class Evaluation:
    """Undiscounted returns and lengths (in steps) of the episodes played, in order of play."""

    returns: tuple[float, ...]
    lengths: tuple[int, ...]

    @property
    def episode_return(self) -> float:
        """The mean return: what ``stop.episodeReturn`` is compared with."""
        return float(np.mean(self.returns))


class SteppedEnvironment(Protocol):
    """What evaluation needs of an environment (`greenroom.environments.Environment`)."""

    num_envs: int

    def reset(self) -> Tree:
        """Begin an episode in each environment; return observations [N, ...]."""

    def step(self, action: Tree) -> EnvironmentStep:
        """Step them all."""


def evaluate(
    policy: Policy,
    environment: SteppedEnvironment,
    episodes: int,
    generator: torch.Generator,
    *,
    interrupted: Callable[[], bool] = lambda: False,
) -> Evaluation | None:
    """Play ``episodes`` episodes; return None if interrupted before the last one ended.

    In each round every environment plays one episode, and what a fast one plays after
    it is not counted: taking episodes as they end would favour short ones.
    """
    returns: list[float] = []
    lengths: list[int] = []
    while len(returns) < episodes:
        played = _play_round(policy, environment, generator, interrupted)
        if played is None:
            return None
        wanted = episodes - len(returns)
        returns += [episode_return for episode_return, _ in played[:wanted]]
        lengths += [length for _, length in played[:wanted]]
    return Evaluation(tuple(returns), tuple(lengths))


@torch.inference_mode()
def _play_round(
    policy: Policy,
    environment: SteppedEnvironment,
    generator: torch.Generator,
    interrupted: Callable[[], bool],
) -> list[tuple[float, int]] | None:
    """Play one episode in each environment; (return, length) by environment."""
    tracker = EpisodeTracker(environment.num_envs)
    initial = state = policy.initial_state(environment.num_envs)
    recurrent = bool(optree.tree_leaves(initial))
    played: dict[int, tuple[float, int]] = {}
    observation = environment.reset()
    while len(played) < environment.num_envs:
        if interrupted():
            return None
        action, state, _ = policy(to_tensors(observation), state, generator, 0)
        step = environment.step(to_arrays(action))
        for index, episode_return, length in zip(*map(list, tracker.add(step)), strict=True):
            played.setdefault(int(index), (float(episode_return), int(length)))
        if recurrent and step.first.any():
            state = reset_state(state, initial, step.first)
        observation = step.observation
    return [played[index] for index in range(environment.num_envs)]
