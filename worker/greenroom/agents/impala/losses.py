"""V-trace, and the loss of an actor-critic (Espeholt et al. 2018, section 4).

B is the batch, L records in a row, T = L - 1 the transitions that begin at all but the
last of them, A actions. A record with mask 0 begins no transition (see
`greenroom.adders.records`): the one before it ended its episode.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class VTraceOutput(NamedTuple):
    """``value_target`` [B, T]: v_t; ``advantage`` [B, T]: A_t. Both are detached, and mean
    nothing where the mask is 0.
    """

    value_target: Tensor
    advantage: Tensor


@dataclass(frozen=True)
class VTrace:
    """Values of the policy pi that learns, from transitions of mu, which acted.

        rho_t  = min(rho_clip, pi(a_t | x_t) / mu(a_t | x_t))
        c_t    = min(c_clip, pi(a_t | x_t) / mu(a_t | x_t))
        delta  = rho_t (r_t + gamma_t V(x_{t+1}) - V(x_t))
        v_t    = V(x_t) + delta_t + gamma_t c_t (v_{t+1} - V(x_{t+1}))
        A_t    = rho_t (r_t + gamma_t v_{t+1} - V(x_t))

    which is equation 1 in the recursive form of remark 1, and the advantage of section
    4.2. The recursion begins with v = V at the last record, and anew at each record with
    mask 0, so that an episode that was cut bootstraps from the value of its true final
    observation, and one that terminated from nothing (gamma_t = 0). Where mu is pi and
    c_clip is 1, v_t is the n-step return; with c_clip below 1, it is TD(c_clip)'s.

    Attributes:
        rho_clip, c_clip: bounds of the importance weights.
    """

    rho_clip: float = 1.0
    c_clip: float = 1.0

    @torch.no_grad()
    def __call__(
        self,
        log_ratio_BT: Tensor,
        reward_BT: Tensor,
        discount_BT: Tensor,
        value_BL: Tensor,
        mask_BT: Tensor,
    ) -> VTraceOutput:
        """Return targets and advantages.

        Args:
            log_ratio_BT: log pi(a_t | x_t) - log mu(a_t | x_t).
            reward_BT: r_t.
            discount_BT: gamma_t, 0 where the transition terminated its episode.
            value_BL: V, of every record.
            mask_BT: float32, 1 where a record begins a transition.
        """
        ratio_BT = log_ratio_BT.exp()
        rho_BT = mask_BT * ratio_BT.clamp(max=self.rho_clip)
        value_BT, next_value_BT = value_BL[:, :-1], value_BL[:, 1:]
        delta_BT = rho_BT * (reward_BT + discount_BT * next_value_BT - value_BT)
        trace_BT = mask_BT * discount_BT * ratio_BT.clamp(max=self.c_clip)
        correction_B = torch.zeros_like(value_BL[:, 0])
        corrections = [correction_B]
        for delta_B, trace_B in zip(
            reversed(delta_BT.unbind(1)), reversed(trace_BT.unbind(1)), strict=True
        ):
            correction_B = torch.addcmul(delta_B, trace_B, correction_B)
            corrections.append(correction_B)
        target_BL = value_BL + torch.stack(corrections[::-1], dim=1)
        advantage_BT = rho_BT * (reward_BT + discount_BT * target_BL[:, 1:] - value_BT)
        return VTraceOutput(target_BL[:, :-1], advantage_BT)


class ActorCriticOutput(NamedTuple):
    """``loss``, a scalar, and its three parts before they are weighted, detached."""

    loss: Tensor
    policy: Tensor
    value: Tensor
    entropy: Tensor


@dataclass(frozen=True)
class ActorCritic:
    """Policy gradient, value error and entropy bonus, each a mean over transitions.

        loss = -mean(A_t log pi(a_t | x_t))
               + value_cost * mean((v_t - V(x_t))^2) / 2
               - entropy_cost * mean(H(pi(. | x_t)))

    The paper sums where this takes means, so that costs and learning rate do not depend
    on the size of a batch.

    Attributes:
        value_cost, entropy_cost: weights.
    """

    value_cost: float
    entropy_cost: float

    def __call__(
        self,
        log_policy_BTA: Tensor,
        log_probability_BT: Tensor,
        value_BT: Tensor,
        trace: VTraceOutput,
        mask_BT: Tensor,
    ) -> ActorCriticOutput:
        """Return the loss; gradients flow through the first three arguments.

        Args:
            log_policy_BTA: log pi of every action.
            log_probability_BT: log pi of those taken.
            value_BT: V of the same records.
            trace: targets and advantages.
            mask_BT: float32, 1 where a record begins a transition; some record does.
        """
        weight_BT = mask_BT / mask_BT.sum()
        policy = -(weight_BT * trace.advantage * log_probability_BT).sum()
        value = 0.5 * (weight_BT * (trace.value_target - value_BT).square()).sum()
        entropy = -(weight_BT * (log_policy_BTA.exp() * log_policy_BTA).sum(2)).sum()
        loss = policy + self.value_cost * value - self.entropy_cost * entropy
        return ActorCriticOutput(loss, policy.detach(), value.detach(), entropy.detach())
