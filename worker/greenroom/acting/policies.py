"""Policies that several agents share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

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
