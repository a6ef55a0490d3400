"""How the parts of IMPALA are made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from greenroom.acting.policies import CategoricalPolicy
from greenroom.adders import EndOfEpisode, SequenceAdder
from greenroom.agents.impala.learning import IMPALALearner
from greenroom.agents.impala.networks import ActorCriticNetwork
from greenroom.core import Replay, ReplayOptions, Writer
from greenroom.datasets import ReplayDataset
from greenroom.errors import ConfigurationError
from greenroom.networks import make_torso
from greenroom.replay.tables import Table
from greenroom.spaces import EnvironmentSpec
from greenroom.specs import ArraySpec, Tree
from greenroom_api import IMPALA

TABLE = "unrolls"


class IMPALABuilder:
    """Makes an IMPALA agent for an environment with one Discrete action that counts from 0.

    An item is an unroll: ``unroll_length`` records and the one that they bootstrap from,
    which is also the next unroll's first. Unrolls run on over the ends of episodes.
    """

    config_class = IMPALA

    def __init__(self, config: IMPALA, spec: EnvironmentSpec) -> None:
        space = spec.action_space
        if not isinstance(space, spaces.Discrete) or space.start != 0:
            raise ConfigurationError(
                f"impala needs a Discrete action space that starts at 0. Got: {space}."
            )
        self._num_actions = int(space.n)
        self._config = config
        self._spec = spec
        self._length = config.unroll_length + 1
        self._extras, self._start = _extras(config)

    def make_network(self) -> ActorCriticNetwork:
        """Return an actor-critic network."""
        torso, features = make_torso(self._spec, self._config.network)
        lstm = self._config.lstm
        hidden_size = None if lstm is None else lstm.hidden_size
        return ActorCriticNetwork(torso, features, self._num_actions, hidden_size)

    def make_policy(self, network: nn.Module, evaluation: bool) -> CategoricalPolicy:
        """Return the network's policy, or for evaluation its likeliest action."""
        assert isinstance(network, ActorCriticNetwork)
        return CategoricalPolicy(network, greedy=evaluation)

    def make_tables(self, options: ReplayOptions, num_envs: int) -> Sequence[Table]:
        """Return the one queue of unrolls."""
        assert options.rate_limiter == "Queue", "the API refuses any other"
        signature = SequenceAdder.signature(
            self._spec, self._length, EndOfEpisode.CONTINUE, self._extras, self._start
        )
        return [Table.queue(TABLE, options.max_size, signature)]

    def make_adder(self, writer: Writer, num_envs: int) -> SequenceAdder:
        """Return an adder of unrolls."""
        return SequenceAdder(
            writer,
            self._spec,
            num_envs,
            table=TABLE,
            length=self._length,
            period=self._config.unroll_length,
            end_of_episode=EndOfEpisode.CONTINUE,
            extras=self._extras,
            start=self._start,
        )

    def make_dataset(
        self, replay: Replay, device: torch.device, prefetch: int, timeout: float
    ) -> ReplayDataset:
        """Return batches of unrolls."""
        return ReplayDataset(
            replay.sampler(TABLE),
            TABLE,
            self._config.batch_size,
            device=device,
            prefetch=prefetch,
            timeout=timeout,
        )

    def make_learner(self, network: nn.Module, device: torch.device) -> IMPALALearner:
        """Return the learner."""
        assert isinstance(network, ActorCriticNetwork)
        return IMPALALearner(network, self._config, device)


def _extras(config: IMPALA) -> tuple[dict[str, Tree], tuple[str, ...]]:
    """Return what `CategoricalPolicy` has kept, and which of it only once an unroll."""
    extras: dict[str, Tree] = {
        "log_probability": ArraySpec((), np.dtype(np.float32)),
        "learner_steps": ArraySpec((), np.dtype(np.int64)),
    }
    if config.lstm is None:
        return extras, ()
    memory = ArraySpec((config.lstm.hidden_size,), np.dtype(np.float32))
    return extras | {"state": (memory, memory)}, ("state",)
