"""The learner of IMPALA."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from greenroom.agents.impala.losses import ActorCritic, VTrace
from greenroom.agents.impala.networks import ActorCriticNetwork
from greenroom.core import Batch, LearnerOutput, State
from greenroom.learning.optimization import Adam, load_module
from greenroom_api import IMPALA


class IMPALALearner:
    """One step: V-trace over a batch of unrolls, gradient, clipped Adam.

    Args:
        network: moved to ``device`` and trained.
        config: hyperparameters.
        device: where it learns.
    """

    # Shapes: B unrolls of L records, T = L - 1 of which may begin a transition, A actions.

    def __init__(self, network: ActorCriticNetwork, config: IMPALA, device: torch.device) -> None:
        self._config = config
        self._network = network.to(device)
        self._optimizer = Adam(
            list(self._network.parameters()),
            config.learning_rate,
            epsilon=config.adam_epsilon,
            max_gradient_norm=config.max_gradient_norm,
        )
        self._trace = VTrace(config.rho_clip, config.c_clip)
        self._loss = ActorCritic(config.value_cost, config.entropy_cost)

    def step(self, batch: Batch) -> LearnerOutput:
        """Learn from a batch of unrolls."""
        data = batch.data
        state = data["start"]["state"] if "start" in data else ()
        logits_BLA, value_BL = self._network.unroll(data["observation"], data["first"], state)
        mask_BT = data["mask"][:, :-1]
        log_policy_BTA = functional.log_softmax(logits_BLA[:, :-1], dim=2)
        action_BT1 = data["action"][:, :-1].unsqueeze(2)
        log_probability_BT = log_policy_BTA.gather(2, action_BT1).squeeze(2)
        trace = self._trace(
            log_probability_BT.detach() - data["extras"]["log_probability"][:, :-1],
            self._rewards(data["reward"][:, :-1]),
            self._config.discount * (~data["terminated"][:, :-1]).float(),
            value_BL.detach(),
            mask_BT,
        )
        output = self._loss(log_policy_BTA, log_probability_BT, value_BL[:, :-1], trace, mask_BT)
        gradients = torch.autograd.grad(output.loss, self._optimizer.parameters)
        gradient_norm = self._optimizer.step(gradients)
        lag_BT = self._network.learner_steps - data["extras"]["learner_steps"][:, :-1]
        self._network.learner_steps += 1
        metrics = {
            "loss": output.loss.detach(),
            "policyLoss": output.policy,
            "valueLoss": output.value,
            "entropy": output.entropy,
            "gradientNorm": gradient_norm,
            "policyLag": (mask_BT * lag_BT).sum() / mask_BT.sum(),
        }
        return LearnerOutput(metrics, None)

    def _rewards(self, reward_BT: Tensor) -> Tensor:
        bound = self._config.max_abs_reward
        return reward_BT if bound is None else reward_BT.clamp(-bound, bound)

    def variables(self) -> dict[str, Tensor]:
        """Return the network's parameters and buffers, its count of learner steps among them."""
        return self._network.state_dict()

    def state(self) -> State:
        """Return network and optimizer."""
        return {
            "network": dict(self._network.state_dict()),
            "optimizer": self._optimizer.state(),
        }

    def restore(self, state: State) -> None:
        """Take up what `state` returned."""
        load_module(self._network, state["network"], "network")
        self._optimizer.restore(state["optimizer"])
