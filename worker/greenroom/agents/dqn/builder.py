"""How the parts of DQN are made."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from gymnasium import spaces
from torch import nn

from greenroom.acting.exploration import EpsilonGreedy, Greedy
from greenroom.acting.policies import ValuePolicy
from greenroom.acting.schedules import LinearSchedule
from greenroom.adders import NStepTransitionAdder
from greenroom.agents.dqn.learning import DQNLearner
from greenroom.agents.dqn.networks import QNetwork
from greenroom.core import Replay, ReplayOptions, Writer
from greenroom.datasets import ReplayDataset
from greenroom.errors import ConfigurationError
from greenroom.networks import make_torso
from greenroom.replay.options import make_table
from greenroom.replay.tables import Prioritized, Table
from greenroom.spaces import EnvironmentSpec
from greenroom_api import DQN

TABLE = "transitions"


class DQNBuilder:
    """Makes a DQN agent for an environment with one Discrete action that counts from 0."""

    config_class = DQN

    def __init__(self, config: DQN, spec: EnvironmentSpec) -> None:
        space = spec.action_space
        if not isinstance(space, spaces.Discrete) or space.start != 0:
            raise ConfigurationError(
                f"dqn needs a Discrete action space that starts at 0. Got: {space}."
            )
        self._num_actions = int(space.n)
        self._config = config
        self._spec = spec

    def make_network(self) -> nn.Module:
        """Return a Q-network."""
        torso, features = make_torso(self._spec, self._config.network)
        return QNetwork(torso, features, self._num_actions, dueling=self._config.dueling)

    def make_policy(self, network: nn.Module, evaluation: bool) -> ValuePolicy:
        """Return an epsilon-greedy policy, or a greedy one for evaluation."""
        if evaluation:
            return ValuePolicy(network, Greedy())
        epsilon = self._config.epsilon
        schedule = LinearSchedule(epsilon.initial, epsilon.final, epsilon.decay_steps)
        return ValuePolicy(network, EpsilonGreedy(schedule))

    def make_tables(self, options: ReplayOptions, num_envs: int) -> Sequence[Table]:
        """Return the one table of n-step transitions."""
        prioritized = self._config.prioritized
        return [
            make_table(
                TABLE,
                options,
                NStepTransitionAdder.signature(self._spec),
                items_per_step=num_envs * self._config.n_step,
                batch_size=self._config.batch_size,
                sampler=None if prioritized is None else Prioritized(prioritized.priority_exponent),
            )
        ]

    def make_adder(self, writer: Writer, num_envs: int) -> NStepTransitionAdder:
        """Return an n-step adder."""
        return NStepTransitionAdder(
            writer,
            self._spec,
            num_envs,
            table=TABLE,
            n_step=self._config.n_step,
            discount=self._config.discount,
        )

    def make_dataset(
        self, replay: Replay, device: torch.device, prefetch: int, timeout: float
    ) -> ReplayDataset:
        """Return batches of transitions."""
        return ReplayDataset(
            replay.sampler(TABLE),
            TABLE,
            self._config.batch_size,
            device=device,
            prefetch=prefetch,
            timeout=timeout,
        )

    def make_learner(self, network: nn.Module, device: torch.device) -> DQNLearner:
        """Return the learner."""
        return DQNLearner(network, self._config, device)
