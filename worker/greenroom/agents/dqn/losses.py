"""The temporal-difference loss of DQN.

B is the batch, A actions; _tm1 is the step acted on, _t the one after it (n steps later).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class QLearningOutput(NamedTuple):
    """``loss``: a scalar; ``td_error`` [B]: target minus prediction, detached."""

    loss: Tensor
    td_error: Tensor


@dataclass(frozen=True)
class QLearning:
    """The Huber loss of the n-step Q-learning error (Mnih et al. 2015; van Hasselt et al. 2016).

        y    = r + discount * max_a q_target(s', a)                       Q-learning
        y    = r + discount * q_target(s', argmax_a q_selector(s', a))    double Q-learning
        loss = mean_b w_b * huber(y_b - q(s_b, a_b))

    ``r`` and ``discount`` are those of an n-step item: a sum of discounted rewards, and
    gamma^k or 0. The weights w correct for prioritized sampling (1 where there is none).

    Attributes:
        huber_delta: errors up to it count squared, beyond it linearly.
    """

    huber_delta: float = 1.0

    def __call__(
        self,
        q_tm1_BA: Tensor,
        action_tm1_B: Tensor,
        reward_B: Tensor,
        discount_B: Tensor,
        q_target_t_BA: Tensor,
        q_selector_t_BA: Tensor | None = None,
        weight_B: Tensor | None = None,
    ) -> QLearningOutput:
        """Return the loss and the errors; gradients flow through ``q_tm1_BA`` alone.

        Args:
            q_tm1_BA: online values where the action was taken.
            action_tm1_B: int64 actions.
            reward_B, discount_B: float32, of the items.
            q_target_t_BA: the target network's values of the next observation.
            q_selector_t_BA: the online network's, for double Q-learning.
            weight_B: importance weights.
        """
        with torch.no_grad():
            if q_selector_t_BA is None:
                value_t_B = q_target_t_BA.amax(dim=1)
            else:
                best_B1 = q_selector_t_BA.argmax(dim=1, keepdim=True)
                value_t_B = q_target_t_BA.gather(1, best_B1).squeeze(1)
            target_B = torch.addcmul(reward_B, discount_B, value_t_B)
        q_B = q_tm1_BA.gather(1, action_tm1_B.unsqueeze(1)).squeeze(1)
        if weight_B is None:
            loss = functional.huber_loss(q_B, target_B, delta=self.huber_delta)
        else:
            each_B = functional.huber_loss(q_B, target_B, delta=self.huber_delta, reduction="none")
            loss = (weight_B * each_B).mean()
        return QLearningOutput(loss, target_B - q_B.detach())


def importance_weights(probability_B: Tensor, table_size_B: Tensor, exponent: float) -> Tensor:
    """Return w_b = (N P(b))^-exponent / max_b w_b [B] (Schaul et al. 2016, section 3.4)."""
    weight_B = (table_size_B * probability_B) ** -exponent
    return weight_B / weight_B.max()
