"""Episodes that we reset ourselves, each with a seed of its own: DISABLED.

The k-th episode of environment i is reset with a seed derived from the experiment's
seed, the part's name, i and k. So an episode in progress is known by (k, actions so
far), and playing these actions again brings a deterministic environment back to where
it was.
"""

from __future__ import annotations

import numpy as np
import optree
from gymnasium.vector import AutoresetMode

from greenroom.core import EnvironmentStep, State
from greenroom.environments.autoreset import episode_seed, logger, require_same_environment
from greenroom.environments.checked import CheckedVectorEnv
from greenroom.environments.history import ActionHistory, aligned
from greenroom.errors import CheckpointMismatch
from greenroom.specs import Array, Tree


class SeededEpisodes:
    """Resets environments one by one as their episodes end; resumable."""

    mode = AutoresetMode.DISABLED

    def __init__(self, env: CheckedVectorEnv, seed: int, name: str) -> None:
        self._env = env
        self._seed = seed
        self._name = name
        self._history = ActionHistory(env.num_envs)
        self._returns = np.zeros(env.num_envs)  # of the episodes in progress, [N] float64
        self._observation: Tree = None
        self._everywhere = np.ones(env.num_envs, np.bool_)

    def start(self) -> Tree:
        """Begin the next episode everywhere."""
        return self._begin(self._everywhere)

    def step(self, action: Tree) -> EnvironmentStep:
        """Step, then begin a new episode where one ended."""
        final, reward, terminated, truncated = self._step(action)
        first = terminated | truncated
        if np.count_nonzero(first):
            self._begin(first)
        valid = self._everywhere.copy()
        return EnvironmentStep(
            reward, terminated, truncated, final, valid, self._observation, first
        )

    def state(self) -> State:
        """Return the episodes in progress: number, actions, and what they came to."""
        lengths = self._history.lengths(self._env.began)
        return {
            "mode": self.mode.value,
            "num_envs": self._env.num_envs,
            "episode": self._env.episode.copy(),
            "lengths": lengths,
            "actions": _by_position(self._history.packed(lengths)),
            "returns": self._returns.copy(),
            "observation": _by_position(optree.tree_leaves(self._observation)),
        }

    def restore(self, state: State) -> tuple[Tree, Array]:
        """Replay the episodes in progress; begin anew where that leads elsewhere."""
        require_same_environment(state, self.mode, self._env.num_envs)
        lengths = np.asarray(state["lengths"])
        self._env.episode[:] = state["episode"]
        repeated = self._replay(self._actions(state, lengths), lengths)
        repeated &= self._returns == state["returns"]
        repeated &= self._observes(state["observation"])
        replayable = lengths >= 0
        intact = replayable & repeated
        self._warn(
            replayable & ~repeated,
            "differ when their recorded actions are played again, "
            "so the environment is not deterministic (or is another version)",
        )
        self._warn(~replayable, "had episodes in progress too long to keep all of their actions")
        if not intact.all():
            self._begin(~intact)
        return self._observation, intact

    def _step(self, action: Tree) -> tuple[Tree, Array, Array, Array]:
        final, reward, terminated, truncated, _ = self._env.step(action)
        self._history.add(action, self._env.began)
        self._returns += reward
        self._observation = final
        return final, reward, terminated, truncated

    def _begin(self, mask: Array) -> Tree:
        """Begin the next episode of the environments in ``mask``."""
        self._env.begin(mask)
        return self._reset(mask)

    def _reset(self, mask: Array) -> Tree:
        """Reset the environments in ``mask`` to the beginning of their present episode."""
        seeds: list[int | None] = [None] * len(mask)
        for index in np.flatnonzero(mask).tolist():
            episode = int(self._env.episode[index])
            seeds[index] = episode_seed(self._seed, self._name, "episode", index, episode)
        self._returns[mask] = 0.0
        # The first reset is masked as well, so that each episode begins with the same call.
        # The mask is copied: the vector environment may keep it, and ours is handed out.
        self._observation = self._env.reset(seeds, options={"reset_mask": mask.copy()})
        return self._observation

    def _replay(self, actions: Tree, lengths: Array) -> Array:
        """Play recorded actions [T, N, ...], all ending together; return [N] bool: none ended.

        All environments step together, so those with fewer than T actions are stepped
        along before their turn comes, and reset when it does. None of these early
        steps leaves a trace: each episode is determined by its seed.
        """
        steps = max(int(lengths.max()), 0)
        turn = steps - np.maximum(lengths, 0)
        self._env.began[:] = self._env.steps
        going_on = np.ones(len(lengths), np.bool_)
        ended = np.ones(len(lengths), np.bool_)
        for time in range(steps + 1):
            begins = turn == time
            if (begins | ended).any():
                self._env.began[begins] = self._env.steps
                self._reset(begins | ended)
            if time < steps:
                action = optree.tree_map(lambda leaf, row=time: leaf[row], actions)
                _, _, terminated, truncated = self._step(action)
                ended = terminated | truncated
                going_on &= ~ended | (turn > time)
        return going_on

    def _actions(self, state: State, lengths: Array) -> Tree:
        """Return the saved actions as a tree of [T, N, ...]."""
        specs, structure = optree.tree_flatten(self._env.spec.actions)
        packed = [state["actions"][key] for key in sorted(state["actions"], key=int)]
        if not packed:  # saved before the first step
            packed = [np.empty((0, *spec.shape), spec.dtype) for spec in specs]
        got = [leaf.shape[1:] for leaf in packed]
        if got != [spec.shape for spec in specs]:
            raise CheckpointMismatch(
                f"The checkpoint's actions must have the shapes of {self._env.title}: "
                f"{[spec.shape for spec in specs]}. Got: {got}."
            )
        return optree.tree_unflatten(structure, [aligned(leaf, lengths) for leaf in packed])

    def _observes(self, saved: State) -> Array:
        """Return [N] bool: the present observation is the saved one, bit for bit."""
        same = np.ones(self._env.num_envs, np.bool_)
        for index, leaf in enumerate(optree.tree_leaves(self._observation)):
            other = saved[str(index)]
            if other.shape != leaf.shape:
                return np.zeros_like(same)
            same &= (leaf == other).reshape(len(same), -1).all(axis=1)
        return same

    def _warn(self, mask: Array, reason: str) -> None:
        if mask.any():
            logger.warning(
                "%s: environments %s %s; they begin new episodes.",
                self._env.title,
                np.flatnonzero(mask).tolist(),
                reason,
            )


def _by_position(leaves: list[Array]) -> dict[str, Array]:
    return {str(index): leaf for index, leaf in enumerate(leaves)}
