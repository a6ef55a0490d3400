"""Episodes of vector environments that reset themselves: NEXT_STEP and SAME_STEP.

Gymnasium's three modes (https://farama.org/Vector-Autoreset-Mode) differ in which
call begins the next episode, and so in where the final observation is found. With an
episode that ends in step t::

    mode       step t returns                      step t + 1
    DISABLED   the final observation               refused until the caller resets
    NEXT_STEP  the final observation               ignores the action, returns the first
    SAME_STEP  the first observation, the final    goes on
               one in ``infos["final_obs"]``

Each class here and in `greenroom.environments.seeded` turns one of them into the same
`EnvironmentStep`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from greenroom.core import EnvironmentStep, State
from greenroom.environments.checked import CheckedVectorEnv
from greenroom.errors import CheckpointMismatch
from greenroom.randomness import derive_seed
from greenroom.specs import Array, Tree

logger = logging.getLogger("greenroom.environments")


class Episodes(Protocol):
    """Begins and ends the episodes of N environments; see `greenroom.environments.Environment`."""

    def __init__(self, env: CheckedVectorEnv, seed: int, name: str) -> None: ...

    def start(self) -> Tree: ...

    def step(self, action: Tree) -> EnvironmentStep: ...

    def state(self) -> State: ...

    def restore(self, state: State) -> tuple[Tree, Array]: ...


def episode_seed(seed: int, *name: str | int) -> int:
    """Return a derived seed of 31 bits: what fits a C int and numpy's ``RandomState``."""
    return derive_seed(seed, *name) >> 32


def require_same_environment(state: State, mode: AutoresetMode, num_envs: int) -> None:
    """Raise `CheckpointMismatch` unless a state is of this mode and number of environments."""
    got = (state["mode"], state["num_envs"])
    if got != (mode.value, num_envs):
        raise CheckpointMismatch(
            f"The checkpoint must be of {num_envs} environments in autoreset mode {mode.value}. "
            f"Got: {got[1]} environments in mode {got[0]}."
        )


class _SelfResetting:
    """Seeded once, at the start: reproducible from there, but not resumable.

    Which episode an environment is in, and its random state, are the vector
    environment's own affair.
    """

    mode: AutoresetMode

    def __init__(self, env: CheckedVectorEnv, seed: int, name: str) -> None:
        self._env = env
        self._seed = seed
        self._name = name
        self._starts = 0
        self._everywhere = np.ones(env.num_envs, np.bool_)

    def start(self) -> Tree:
        """Begin an episode everywhere; a later start gives other episodes."""
        observation = self._env.reset(
            episode_seed(self._seed, self._name, "start", self._starts), options=None
        )
        self._starts += 1
        self._env.begin(self._everywhere)
        return observation

    def state(self) -> State:
        """Return how often it was started."""
        return {"mode": self.mode.value, "num_envs": self._env.num_envs, "starts": self._starts}

    def restore(self, state: State) -> tuple[Tree, Array]:
        """Start anew, with a seed that was not used before; nothing is intact."""
        require_same_environment(state, self.mode, self._env.num_envs)
        logger.warning(
            "%s resets itself (autoreset mode %s), so its episodes in progress cannot be "
            "resumed: all of its environments begin new episodes.",
            self._env.title,
            self.mode.value,
        )
        self._starts = state["starts"]
        return self.start(), np.zeros(self._env.num_envs, np.bool_)


class NextStepEpisodes(_SelfResetting):
    """The step after the last one begins the next episode, and is no transition."""

    mode = AutoresetMode.NEXT_STEP

    def start(self) -> Tree:
        """Begin an episode everywhere; a later start gives other episodes."""
        self._ended = np.zeros(self._env.num_envs, np.bool_)
        return super().start()

    def step(self, action: Tree) -> EnvironmentStep:
        """Step; where an episode ended in the step before, only begin the next."""
        observation, reward, terminated, truncated, _ = self._env.step(action)
        first = self._ended
        if np.count_nonzero(first):
            reward[first] = 0.0
            terminated[first] = False
            truncated[first] = False
            self._env.begin(first)
        self._ended = terminated | truncated
        return EnvironmentStep(
            reward, terminated, truncated, observation, ~first, observation, first
        )


class SameStepEpisodes(_SelfResetting):
    """The last step of an episode begins the next, and keeps its final observation aside."""

    mode = AutoresetMode.SAME_STEP

    def step(self, action: Tree) -> EnvironmentStep:
        """Step; put final observations where they belong."""
        observation, reward, terminated, truncated, infos = self._env.step(action)
        ended = terminated | truncated
        final = observation
        if np.count_nonzero(ended):
            final = self._final(observation, ended, infos)
            self._env.begin(ended)
        valid = self._everywhere.copy()
        return EnvironmentStep(reward, terminated, truncated, final, valid, observation, ended)

    def _final(self, observation: Tree, ended: Array, infos: dict[str, Any]) -> Tree:
        """Return ``observation`` with the final one in each row of ``ended``."""
        rows = np.flatnonzero(ended)
        given = infos.get("final_obs")
        space = self._env.spec.observation_space
        one_by_one = isinstance(given, np.ndarray) and given.dtype == object
        if given is None or (one_by_one and any(final is None for final in given[rows])):
            raise self._env.fault(
                "a vector environment in autoreset mode SameStep must give the final observation "
                "of each episode that ends in infos['final_obs']. "
                f"Got: none of environments {rows.tolist()}; infos has the keys {list(infos)}."
            )
        try:
            if one_by_one:
                final = _put_singles(space, observation, rows, list(given[rows]))
            else:
                final = _put_batch(space, observation, rows, given)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise self._env.fault(
                "infos['final_obs'] must hold observations that fit the observation space "
                f"{space}. Got: {type(error).__name__}: {error}"
            ) from error
        self._env.refuse_nan(final)
        return final


def _put_singles(space: Any, batch: Tree, rows: Array, finals: Sequence[Any]) -> Tree:
    """Return a copy of ``batch`` with single observations in ``rows``: Gymnasium's own form."""
    match space:
        case spaces.Dict():
            return {
                key: _put_singles(sub, batch[key], rows, [final[key] for final in finals])
                for key, sub in space.spaces.items()
            }
        case spaces.Tuple():
            return tuple(
                _put_singles(sub, batch[index], rows, [final[index] for final in finals])
                for index, sub in enumerate(space.spaces)
            )
    merged = batch.copy()
    merged[rows] = np.stack([np.asarray(final) for final in finals])
    return merged


def _put_batch(space: Any, batch: Tree, rows: Array, finals: Tree) -> Tree:
    """Return a copy of ``batch`` with ``rows`` of another batch: the form of ale-py and others."""
    match space:
        case spaces.Dict():
            return {
                key: _put_batch(sub, batch[key], rows, finals[key])
                for key, sub in space.spaces.items()
            }
        case spaces.Tuple():
            return tuple(
                _put_batch(sub, batch[index], rows, finals[index])
                for index, sub in enumerate(space.spaces)
            )
    merged = batch.copy()
    merged[rows] = np.asarray(finals)[rows]
    return merged
