"""Small deterministic environments that say where they are, and tools to step them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import optree
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space

from greenroom.environments import Environment


class Counting(gym.Env):
    """Observes (index, episode, step), counted from 0 by itself; odd episodes are truncated.

    Episode e of environment i has 1 + (2 * e + i) % 5 steps.
    """

    def __init__(self, index: int = 0) -> None:
        self.observation_space = spaces.Box(0, 1_000, (3,), np.float32)
        self.action_space = spaces.Discrete(3)
        self._index = index
        self._episode = -1

    def observe(self) -> Any:
        return np.array([self._index, self._episode, self._step], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._episode += 1
        self._step = 0
        return self.observe(), {}

    def step(self, action):
        self._step += 1
        ended = self._step == 1 + (2 * self._episode + self._index) % 5
        odd = self._episode % 2 == 1
        reward = 100 * self._episode + 10 * self._step + float(action)
        return self.observe(), reward, ended and not odd, ended and odd, {"count": self._step}


class Nested(Counting):
    """`Counting` whose observation is a Dict of a Tuple of a Dict."""

    def __init__(self, index: int = 0) -> None:
        super().__init__(index)
        self.observation_space = spaces.Dict(
            {
                "where": spaces.Tuple(
                    [
                        spaces.Discrete(1_000),
                        spaces.Dict({"step": spaces.MultiDiscrete([1_000, 2])}),
                    ]
                ),
                "flags": spaces.MultiBinary(2),
                "index": spaces.Box(0, 100, (2, 1), np.float64),
            }
        )

    def observe(self) -> Any:
        odd = self._step % 2
        return {
            "where": (self._episode, {"step": np.array([self._step, odd])}),
            "flags": np.array([odd, 1 - odd], np.int8),
            "index": np.full((2, 1), float(self._index)),
        }


class Walk(gym.Env):
    """A random walk: all of it follows from the seed of its reset and the actions since."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = spaces.Discrete(2, start=1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._position = self.np_random.normal(size=2)
        self._left = int(self.np_random.integers(3, 12))
        return self._position.astype(np.float32), {}

    def step(self, action):
        assert self.action_space.contains(int(action))
        self._position = self._position + action * self.np_random.normal(size=2)
        self._left -= 1
        truncated = self._left == 0
        return self._position.astype(np.float32), self._position[0], False, truncated, {}


class NestedWalk(Walk):
    """`Walk` with a Dict for an observation, and a Dict of a Tuple for an action."""

    def __init__(self) -> None:
        super().__init__()
        pushes = spaces.Tuple([self.action_space, spaces.Box(-9, 9, (2,), np.float32)])
        self.action_space = spaces.Dict({"push": pushes})
        self.observation_space = spaces.Dict({"at": self.observation_space})

    def reset(self, *, seed=None, options=None):
        observation, infos = super().reset(seed=seed)
        return {"at": observation}, infos

    def step(self, action):
        scale, shift = action["push"]
        self._position = self._position + scale * self.np_random.normal(size=2) + shift
        self._left -= 1
        observation = {"at": self._position.astype(np.float32)}
        return observation, self._position[0], False, self._left == 0, {}


class Restless(Walk):
    """Draws from a generator that no seed reaches, where its index says so."""

    def __init__(self, restless: bool) -> None:
        super().__init__()
        self._restless = restless
        self._generator = np.random.default_rng()

    def step(self, action):
        if self._restless:
            self._position = self._position + self._generator.normal(size=2)
        return super().step(action)


class Batched(VectorEnv):
    """A native vector environment in SAME_STEP: final observations come as one batch.

    All of its arrays are buffers that it writes to again. Environment i ends each i + 2 steps.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 - Gymnasium's own form

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self.single_observation_space = spaces.Box(0, 1_000, (2,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.single_action_space = spaces.Discrete(2)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._observation = np.zeros((num_envs, 2), np.float32)  # episode, step
        self._reward = np.zeros(num_envs, np.float32)
        self._terminated = np.zeros(num_envs, np.bool_)
        self._truncated = np.zeros(num_envs, np.bool_)

    def reset(self, *, seed=None, options=None):
        self._observation[:] = 0
        return self._observation, {}

    def step(self, actions):
        self._observation[:, 1] += 1
        self._reward[:] = self._observation[:, 1]
        self._terminated[:] = self._observation[:, 1] == np.arange(self.num_envs) + 2
        final = self._observation.copy()
        self._observation[self._terminated, 0] += 1
        self._observation[self._terminated, 1] = 0
        infos = {"final_obs": final, "_final_obs": self._terminated}
        return self._observation, self._reward, self._terminated, self._truncated, infos


def environment_of(
    make: Callable[[int], gym.Env],
    num_envs: int = 3,
    mode: AutoresetMode = AutoresetMode.DISABLED,
    seed: int = 0,
) -> Environment:
    """Vectorize ``make(index)`` and wrap it."""
    factories = [lambda index=index: make(index) for index in range(num_envs)]
    return Environment(SyncVectorEnv(factories, autoreset_mode=mode), seed=seed)


def rows(tree: Any, num_envs: int) -> list[tuple[Any, ...]]:
    """Return each environment's part of a tree of [N, ...], in a form that can be compared."""
    leaves = optree.tree_leaves(tree)
    return [tuple(leaf[index].tobytes() for leaf in leaves) for index in range(num_envs)]


def play(environment: Environment, observation: Any, actions: Any) -> list[Any]:
    """Step with ``actions`` [T, N]; return all that came out, in a form that can be compared."""
    out = []
    for action in actions:
        step = environment.step(action)
        out.append(optree.tree_map(lambda leaf: leaf.tolist(), tuple(step)))
    return out
