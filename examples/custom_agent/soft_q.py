"""A whole agent in one file: soft Q-learning for discrete actions.

It acts with probabilities that grow with the action values, and learns the values of
that very policy (Haarnoja et al. 2017, "Reinforcement learning with deep energy-based
policies", equations 3 and 7, for discrete actions):

    pi(a | s) = exp(Q(s, a) / temperature) / sum_a' exp(Q(s, a') / temperature)
    V(s)      = temperature * log sum_a exp(Q(s, a) / temperature)
    target    = r + discount * V(s')

Run it from the repository's root::

    greenroom run examples/custom_agent/cartpole-soft-q.yaml
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from gymnasium import spaces
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from greenroom.acting.exploration import Greedy
from greenroom.acting.policies import ValuePolicy
from greenroom.adders import NStepTransitionAdder
from greenroom.core import Batch, LearnerOutput, Replay, ReplayOptions, State, Writer
from greenroom.datasets import ReplayDataset
from greenroom.errors import ConfigurationError
from greenroom.learning.optimization import Adam, load_module
from greenroom.networks import make_torso
from greenroom.replay.options import make_table
from greenroom.replay.tables import Table
from greenroom.spaces import EnvironmentSpec
from greenroom_api import MLP, Network

TABLE = "transitions"


class SoftQ(BaseModel):
    """Hyperparameters; what is misspelt or out of bounds is refused when the file is loaded."""

    model_config = ConfigDict(extra="forbid")

    temperature: float = Field(0.1, gt=0, description="Of the policy; 0 would be greedy.")
    learning_rate: float = Field(1e-3, gt=0, alias="learningRate")
    batch_size: int = Field(64, ge=1, alias="batchSize")
    discount: float = Field(0.99, ge=0, le=1)
    target_update_period: int = Field(128, ge=1, alias="targetUpdatePeriod")


class Softmax:
    """Exploration by the policy itself: the more valuable, the likelier."""

    def __init__(self, temperature: float) -> None:
        self._temperature = temperature

    def __call__(
        self, values_NA: Tensor, generator: torch.Generator, environment_steps: int
    ) -> Tensor:
        """Return actions [N]."""
        probabilities_NA = torch.softmax(values_NA / self._temperature, dim=1)
        return torch.multinomial(probabilities_NA, 1, generator=generator).squeeze(1)


class SoftQLearner:
    """One gradient step at a time; the loop around it does everything else."""

    def __init__(self, network: nn.Module, config: SoftQ, device: torch.device) -> None:
        self._config = config
        self._network = network.to(device)
        self._target = copy.deepcopy(self._network).requires_grad_(False)
        self._optimizer = Adam(
            list(self._network.parameters()), config.learning_rate, max_gradient_norm=10.0
        )
        self._steps = 0

    def step(self, batch: Batch) -> LearnerOutput:
        """Learn from a batch of transitions."""
        data, temperature = batch.data, self._config.temperature
        with torch.no_grad():
            q_t_BA = self._target(data["next_observation"])
            v_t_B = temperature * torch.logsumexp(q_t_BA / temperature, dim=1)
            target_B = data["reward"] + data["discount"] * v_t_B
        q_BA = self._network(data["observation"])
        q_B = q_BA.gather(1, data["action"].unsqueeze(1)).squeeze(1)
        loss = nn.functional.huber_loss(q_B, target_B)
        self._optimizer.step(torch.autograd.grad(loss, self._optimizer.parameters))
        self._steps += 1
        if self._steps % self._config.target_update_period == 0:
            self._target.load_state_dict(self._network.state_dict())
        return LearnerOutput({"loss": loss.detach(), "meanQ": q_BA.detach().mean()}, None)

    def variables(self) -> Mapping[str, Tensor]:
        """Return what a policy needs."""
        return self._network.state_dict()

    def state(self) -> State:
        """Return what a checkpoint keeps."""
        return {
            "network": dict(self._network.state_dict()),
            "target": dict(self._target.state_dict()),
            "optimizer": self._optimizer.state(),
            "steps": self._steps,
        }

    def restore(self, state: State) -> None:
        """Take up what `state` returned."""
        load_module(self._network, state["network"], "network")
        load_module(self._target, state["target"], "target network")
        self._optimizer.restore(state["optimizer"])
        self._steps = state["steps"]


class SoftQBuilder:
    """Makes the parts; an experiment names this class."""

    config_class = SoftQ

    def __init__(self, config: SoftQ, spec: EnvironmentSpec) -> None:
        if not isinstance(spec.action_space, spaces.Discrete) or spec.action_space.start != 0:
            raise ConfigurationError(
                "Soft Q-learning needs a Discrete action space that starts at 0. "
                f"Got: {spec.action_space}."
            )
        self._config = config
        self._spec = spec
        self._num_actions = int(spec.action_space.n)

    def make_network(self) -> nn.Module:
        """Return observations to action values."""
        torso, features = make_torso(self._spec, Network(mlp=MLP()))
        return nn.Sequential(torso, nn.Linear(features, self._num_actions))

    def make_policy(self, network: nn.Module, evaluation: bool) -> ValuePolicy:
        """Return the softmax policy, or its limit at temperature 0 for evaluation."""
        return ValuePolicy(network, Greedy() if evaluation else Softmax(self._config.temperature))

    def make_tables(self, options: ReplayOptions, num_envs: int) -> Sequence[Table]:
        """Return one table of transitions."""
        return [
            make_table(
                TABLE,
                options,
                NStepTransitionAdder.signature(self._spec),
                items_per_step=num_envs,
                batch_size=self._config.batch_size,
            )
        ]

    def make_adder(self, writer: Writer, num_envs: int) -> NStepTransitionAdder:
        """Return an adder of one-step transitions."""
        return NStepTransitionAdder(
            writer, self._spec, num_envs, table=TABLE, n_step=1, discount=self._config.discount
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

    def make_learner(self, network: nn.Module, device: torch.device) -> SoftQLearner:
        """Return the learner."""
        return SoftQLearner(network, self._config, device)
