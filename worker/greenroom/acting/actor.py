"""The actor: one policy, N environments, one adder."""

from __future__ import annotations

import numpy as np
import optree
import torch

from greenroom.acting.episodes import EpisodeTracker
from greenroom.core import (
    Adder,
    EnvironmentStep,
    Policy,
    State,
    Transitions,
    VariableSource,
)
from greenroom.specs import Array, Tree


class Actor:
    """Chooses actions for N environments and hands what came of them to an adder.

        observation = environment.reset()
        while acting:
            action = actor.select_action(observation)
            step = environment.step(action)
            actor.observe(observation, action, step)
            observation = step.observation
            actor.update()

    It runs on the CPU whatever the learner runs on.

    Attributes:
        environment_steps: transitions seen, resumed ones included. This is what
            exploration schedules and stop conditions count; NEXT_STEP's reset steps
            are none.
        episodes: returns and lengths of what was played.
        version: of the variables that act, -1 before the first.
    """

    def __init__(
        self,
        policy: Policy,
        adder: Adder,
        variables: VariableSource,
        generator: torch.Generator,
        num_envs: int,
    ) -> None:
        self.environment_steps = 0
        self.episodes = EpisodeTracker(num_envs)
        self._policy = policy
        self._adder = adder
        self._variables = variables
        self._generator = generator
        self.version = -1
        self._initial_state = policy.initial_state(num_envs)
        self._recurrent = bool(optree.tree_leaves(self._initial_state))
        self._state = self._initial_state
        self._extras: Tree = ()

    @torch.inference_mode()
    def select_action(self, observation: Tree) -> Tree:
        """Return actions [N, ...] as numpy arrays, in one forward pass."""
        action, self._state, self._extras = self._policy(
            to_tensors(observation), self._state, self._generator, self.environment_steps
        )
        return to_arrays(action)

    def observe(self, observation: Tree, action: Tree, step: EnvironmentStep) -> None:
        """Hand the transition to the adder; a policy's memory starts anew with each episode."""
        self._adder.add(
            Transitions(
                observation=observation,
                action=action,
                reward=step.reward,
                terminated=step.terminated,
                truncated=step.truncated,
                next_observation=step.next_observation,
                extras=to_arrays(self._extras),
                valid=step.valid,
            )
        )
        self.environment_steps += int(np.count_nonzero(step.valid))
        self.episodes.add(step)
        if self._recurrent and step.first.any():
            self._state = reset_state(self._state, self._initial_state, step.first)

    def update(self) -> None:
        """Take newer variables, if there are any."""
        newest = self._variables.get(self.version)
        if newest is not None:
            self._policy.load_variables(newest.values)
            self.version = newest.version

    def begin_anew(self, mask: Array) -> None:
        """Forget the episodes in progress of the environments in ``mask`` ([N] bool)."""
        self._adder.reset(mask)
        self.episodes.reset(mask)
        if self._recurrent:
            self._state = reset_state(self._state, self._initial_state, mask)

    def state(self) -> State:
        """Return counts, memory and random state, for a checkpoint. Not the adder's."""
        return {
            "environment_steps": self.environment_steps,
            "episodes": self.episodes.state(),
            "generator": self._generator.get_state(),
            "memory": dict(enumerate_leaves(self._state)),
        }

    def restore(self, state: State) -> None:
        """Take up what `state` returned."""
        self.environment_steps = state["environment_steps"]
        self.episodes.restore(state["episodes"])
        self._generator.set_state(state["generator"])
        _, structure = optree.tree_flatten(self._initial_state)
        memory = state["memory"]
        leaves = [memory[name] for name, _ in enumerate_leaves(self._initial_state)]
        self._state = optree.tree_unflatten(structure, leaves)


def to_tensors(tree: Tree) -> Tree:
    """Return the tree with numpy leaves as tensors that share their memory."""
    if isinstance(tree, np.ndarray):  # the common case, without a walk over the tree
        return torch.from_numpy(tree)
    return optree.tree_map(torch.from_numpy, tree)


def to_arrays(tree: Tree) -> Tree:
    """Return the tree with tensor leaves as numpy arrays that share their memory."""
    if isinstance(tree, torch.Tensor):
        return tree.numpy()
    return optree.tree_map(lambda tensor: tensor.numpy(), tree)


def reset_state(state: Tree, initial: Tree, mask: Array) -> Tree:
    """Return ``state`` with ``initial`` where ``mask`` ([N] bool) holds; leaves are [N, ...]."""
    mask_N = torch.from_numpy(mask)

    def pick(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        return torch.where(mask_N.reshape(-1, *[1] * (old.ndim - 1)), new, old)

    return optree.tree_map(pick, state, initial)


def enumerate_leaves(tree: Tree) -> list[tuple[str, torch.Tensor]]:
    """Return the leaves, named by their position."""
    return [(str(index), leaf) for index, leaf in enumerate(optree.tree_leaves(tree))]
