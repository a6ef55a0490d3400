"""A vector environment whose answers are checked and may be kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import optree
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from greenroom.environments.checks import misfit, single_misfit
from greenroom.errors import EnvironmentFault
from greenroom.spaces import EnvironmentSpec
from greenroom.specs import Array, Tree

LARGEST = float(np.finfo(np.float32).max)


class CheckedVectorEnv:
    """Steps a `VectorEnv`, refuses what breaks its contract, hands out arrays that last.

    What is checked, and when:

    - the first reset and the first step: structure, shapes, dtypes and bounds of all
      that is returned;
    - every step: rewards are finite numbers of float32, observations hold no NaN
      (half a microsecond for each leaf).

    Attributes:
        vector_env: what is wrapped.
        num_envs: N.
        spec: of a single environment.
        steps: vector steps so far.
        episode: [N] int64, number of the episode in progress, from 0; -1 before the first.
        began: [N] int64, the value of ``steps`` when it began.
    """

    def __init__(self, vector_env: VectorEnv[Any, Any, Any], name: str) -> None:
        self.vector_env = vector_env
        self.num_envs = vector_env.num_envs
        self.spec = EnvironmentSpec.from_spaces(
            vector_env.single_observation_space, vector_env.single_action_space
        )
        self.title = f"{environment_title(vector_env)} ({name})"
        self.steps = 0
        self.episode = np.full(self.num_envs, -1, np.int64)
        self.began = np.zeros(self.num_envs, np.int64)
        self._reset_checked = False
        self._step_checked = False
        # Gymnasium's own two hand out copies of everything, of observations only if they are
        # told to. Of any other, a wrapper included, it cannot be known.
        copies = isinstance(vector_env, SyncVectorEnv | AsyncVectorEnv)
        self._observations_last = copies and bool(getattr(vector_env, "copy", False))
        self._flags = np.asarray if copies else np.array
        self._float_leaves = [
            index
            for index, leaf in enumerate(optree.tree_leaves(self.spec.observations))
            if np.issubdtype(leaf.dtype, np.floating)
        ]

    def reset(self, seed: int | list[int | None], options: dict[str, Any] | None = None) -> Tree:
        """Reset, and return observations [N, ...].

        Raises:
            EnvironmentFault: the environment raised, or an observation breaks its space.
        """
        try:
            # Gymnasium types the seed as an int; its vector environments take lists.
            observation, _ = self.vector_env.reset(seed=seed, options=options)  # type: ignore[arg-type]
        except Exception as error:
            raise self._raised("a reset", error) from error
        if not self._observations_last:
            observation = lasting(observation)
        if not self._reset_checked:
            self._check_observation(observation)
            self._reset_checked = True
        if self._float_leaves:
            self.refuse_nan(observation)
        return observation

    def step(self, action: Tree) -> tuple[Tree, Array, Array, Array, dict[str, Any]]:
        """Step, and return observations, rewards (float32), terminated, truncated, infos.

        Raises:
            EnvironmentFault: the environment raised, or broke its contract.
        """
        try:
            observation, reward, terminated, truncated, infos = self.vector_env.step(action)
        except Exception as error:
            raise self._raised("a step", error) from error
        self.steps += 1
        if not self._observations_last:
            observation = lasting(observation)
        reward = np.asarray(reward)
        terminated = self._flags(terminated, dtype=np.bool_)
        truncated = self._flags(truncated, dtype=np.bool_)
        if not self._step_checked:
            self._check_observation(observation)
            self._check_shapes(reward, terminated, truncated)
            self._step_checked = True
        elif self._float_leaves:
            self.refuse_nan(observation)
        # One product says that all are finite and fit float32; only where it does not say so
        # is each looked at.
        if not reward.dot(reward) < LARGEST:
            self._check_rewards(reward)
        return observation, reward.astype(np.float32), terminated, truncated, infos

    def begin(self, mask: Array) -> None:
        """Count a new episode for the environments in ``mask`` ([N] bool)."""
        self.episode[mask] += 1
        self.began[mask] = self.steps

    def refuse_nan(self, observation: Tree) -> None:
        """Raise `EnvironmentFault` if a float observation holds a NaN."""
        leaves = (
            (observation,)
            if isinstance(observation, np.ndarray)
            else optree.tree_leaves(observation)
        )
        for index in self._float_leaves:
            leaf = leaves[index]
            # Squares are not negative: their sum is NaN only where one of them is.
            if math.isnan(np.vdot(leaf, leaf)):
                environment = int(np.argwhere(np.isnan(leaf))[0][0])
                raise EnvironmentFault(
                    f"An observation must not be NaN. Got: nan in {self._where(environment)}."
                )

    def fault(self, message: str) -> EnvironmentFault:
        """Return the error for a broken contract, with the environment's title in front."""
        return EnvironmentFault(f"{self.title}: {message}")

    def _where(self, index: int) -> str:
        step = self.steps - int(self.began[index])
        return f"environment {index} of {self.title}, episode {self.episode[index]}, step {step}"

    def _check_observation(self, observation: Tree) -> None:
        space = self.spec.observation_space
        problem = misfit(observation, space, self.num_envs, "observation")
        if problem is not None:
            raise self.fault(f"an observation must fit the observation space: {problem}")

    def _check_shapes(self, reward: Array, terminated: Array, truncated: Array) -> None:
        named = {"reward": reward, "terminated": terminated, "truncated": truncated}
        for name, array in named.items():
            if array.shape != (self.num_envs,) or array.dtype.kind not in "fiub":
                raise self.fault(
                    f"{name} must be one number for each of {self.num_envs} environments. "
                    f"Got: shape {array.shape}, dtype {array.dtype}."
                )

    def _check_rewards(self, reward: Array) -> None:
        good = np.abs(reward) <= LARGEST
        if not good.all():
            index = int(np.argmin(good))
            raise EnvironmentFault(
                "A reward must be a finite number that float32 holds. "
                f"Got: {reward[index]} from {self._where(index)}."
            )

    def _raised(self, doing: str, error: Exception) -> EnvironmentFault:
        """Return what to raise from an exception that came out of the environment."""
        problem = unbatched_misfit(self.vector_env)
        if problem is not None:
            return self.fault(f"an observation must fit the observation space: {problem}")
        return self.fault(
            "an environment must not raise. "
            f"Got: {type(error).__name__} in {doing}, after {self.steps} vector steps: {error}"
        )


def lasting(observation: Tree) -> Tree:
    """Return a copy in dicts, tuples and numpy arrays, the structure that specs have."""
    if isinstance(observation, np.ndarray):
        return observation.copy()
    if isinstance(observation, Mapping):
        return {key: lasting(value) for key, value in observation.items()}
    if isinstance(observation, tuple | list):
        return tuple(lasting(value) for value in observation)
    return np.array(observation)


def environment_title(vector_env: VectorEnv[Any, Any, Any]) -> str:
    """Return the registered id, or the class of the environment where it has none."""
    if vector_env.spec is not None:
        return vector_env.spec.id
    single = getattr(vector_env.unwrapped, "envs", None)
    inner = single[0].unwrapped if single else vector_env.unwrapped
    return type(inner).__name__


def unbatched_misfit(vector_env: VectorEnv[Any, Any, Any]) -> str | None:
    """Return which sub-environment's observation a `SyncVectorEnv` could not batch, and why.

    It fails there inside numpy, with a message that names neither environment nor
    space. The observations are its private attribute: without it nothing is said.
    """
    space: gym.Space[Any] = vector_env.unwrapped.single_observation_space
    for index, value in enumerate(getattr(vector_env.unwrapped, "_env_obs", ())):
        problem = None if value is None else single_misfit(value, space, "observation")
        if problem is not None:
            return f"{problem.removesuffix('.')} in environment {index}."
    return None
