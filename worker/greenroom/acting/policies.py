"""Policies that several agents share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from greenroom.core import PolicyOutput
from greenroom.specs import Tree
from greenroom.variables.local import load_into


class Exploration(Protocol):
    """From action values to actions."""

    def __call__(
        self, values_NA: Tensor, generator: torch.Generator, environment_steps: int
    ) -> Tensor:
        """Return actions [N] int64."""


class ValuePolicy:
    """Acts on the action values that a network predicts; Discrete actions count from 0.

    Args:
        network: observations [N, ...] to action values [N, A]; this policy's own.
        exploration: how an action is chosen from the values.
    """

    def __init__(self, network: nn.Module, exploration: Exploration) -> None:
        self._network = network.eval()  # acting neither drops out nor gathers statistics
        self._exploration = exploration

    def initial_state(self, num_envs: int) -> Tree:
        """Return (): values depend on the observation alone."""
        return ()

    def __call__(
        self, observation: Tree, state: Tree, generator: torch.Generator, environment_steps: int
    ) -> PolicyOutput:
        """Choose actions [N]."""
        values_NA = self._network(observation)
        return PolicyOutput(self._exploration(values_NA, generator, environment_steps), state, ())

    def load_variables(self, variables: Mapping[str, Tensor]) -> None:
        """Copy the network's parameters in."""
        load_into(self._network, variables)


class PolicyNetwork(nn.Module):
    """A network that says how likely each of A discrete actions is.

    Attributes:
        learner_steps: int64 scalar, a buffer: the learner steps inside the parameters. It
            travels with them, so that a policy can tell how old those are that it acts with.
    """

    learner_steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("learner_steps", torch.zeros((), dtype=torch.int64))

    def initial_state(self, num_envs: int) -> Tree:
        """Return the recurrent state of ``num_envs`` new episodes, leaves [N, ...]; () if none."""
        raise NotImplementedError

    def forward(self, observation: Tree, state: Tree) -> tuple[Tensor, Tree]:
        """Return logits [N, A] of observations [N, ...], and the state after them."""
        raise NotImplementedError


class CategoricalPolicy:
    """Draws actions with the probabilities that a network gives; they count from 0.

    Extras, for a learner that corrects for the policy's age::

        log_probability  [N] float32, of the actions drawn
        learner_steps    [N] int64, the network's
        state            the recurrent state before them, leaves [N, ...]; left out if none

    Args:
        network: this policy's own.
        greedy: take the likeliest action instead, and keep no extras.
    """

    def __init__(self, network: PolicyNetwork, *, greedy: bool) -> None:
        self._network = network.eval()  # acting neither drops out nor gathers statistics
        self._greedy = greedy

    def initial_state(self, num_envs: int) -> Tree:
        """Return the network's."""
        return self._network.initial_state(num_envs)

    def __call__(
        self, observation: Tree, state: Tree, generator: torch.Generator, environment_steps: int
    ) -> PolicyOutput:
        """Choose actions [N]."""
        logits_NA, next_state = self._network(observation, state)
        if self._greedy:
            return PolicyOutput(logits_NA.argmax(dim=1), next_state, ())
        log_policy_NA = functional.log_softmax(logits_NA, dim=1)
        action_N = draw(log_policy_NA, generator)
        extras = {
            "log_probability": log_policy_NA.gather(1, action_N.unsqueeze(1)).squeeze(1),
            "learner_steps": self._network.learner_steps.expand(len(action_N)).clone(),
        }
        if state != ():
            extras["state"] = state
        return PolicyOutput(action_N, next_state, extras)

    def load_variables(self, variables: Mapping[str, Tensor]) -> None:
        """Copy the network's parameters in."""
        load_into(self._network, variables)


def draw(log_policy_NA: Tensor, generator: torch.Generator) -> Tensor:
    """Return actions [N], each drawn with its probability.

    They are the first of A exponential clocks to ring. Unlike ``torch.multinomial`` this
    raises nothing for what is not a number: the loop around the learner tells of that.
    """
    clock_NA = torch.empty_like(log_policy_NA).exponential_(generator=generator)
    return (log_policy_NA.exp() / clock_NA).argmax(dim=1)
