"""The learner of DQN."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from greenroom.agents.dqn.losses import QLearning, importance_weights
from greenroom.core import Batch, LearnerOutput, State
from greenroom.learning.optimization import Adam, load_module
from greenroom_api import DQN

# An item whose error happens to be 0 must stay possible to sample (Schaul et al. 2016).
PRIORITY_FLOOR = 1e-6


class DQNLearner:
    """One step: error, gradient, clipped Adam; the target network follows in jumps.

    Args:
        network: from observations to action values; moved to ``device`` and trained.
        config: hyperparameters.
        device: where it learns.
    """

    def __init__(self, network: nn.Module, config: DQN, device: torch.device) -> None:
        self._config = config
        self._network = network.to(device)
        self._target = copy.deepcopy(self._network).requires_grad_(False).eval()
        self._optimizer = Adam(
            list(self._network.parameters()),
            config.learning_rate,
            epsilon=config.adam_epsilon,
            max_gradient_norm=config.max_gradient_norm,
        )
        self._loss = QLearning()
        self._steps = 0

    def step(self, batch: Batch) -> LearnerOutput:
        """Learn from a batch of n-step transitions."""
        config, data = self._config, batch.data
        with torch.no_grad():
            q_target_t_BA = self._target(data["next_observation"])
            q_selector_t_BA = self._network(data["next_observation"]) if config.double else None
        q_tm1_BA = self._network(data["observation"])
        output = self._loss(
            q_tm1_BA,
            data["action"],
            data["reward"],
            data["discount"],
            q_target_t_BA,
            q_selector_t_BA,
            self._weights(batch),
        )
        gradients = torch.autograd.grad(output.loss, self._optimizer.parameters)
        gradient_norm = self._optimizer.step(gradients)
        self._steps += 1
        if self._steps % config.target_update_period == 0:
            self._target.load_state_dict(self._network.state_dict())
        metrics = {
            "loss": output.loss.detach(),
            "meanQ": q_tm1_BA.detach().mean(),
            "gradientNorm": gradient_norm,
        }
        priorities = None if config.prioritized is None else output.td_error.abs() + PRIORITY_FLOOR
        return LearnerOutput(metrics, priorities)

    def _weights(self, batch: Batch) -> Tensor | None:
        if self._config.prioritized is None:
            return None
        exponent = self._config.prioritized.importance_sampling_exponent
        return importance_weights(batch.probabilities, batch.table_size, exponent)

    def variables(self) -> dict[str, Tensor]:
        """Return the online network's parameters and buffers."""
        return self._network.state_dict()

    def state(self) -> State:
        """Return networks, optimizer and step count."""
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
