"""Q-networks: observations to one value per action.

B is the batch, F features, A actions.
"""

from __future__ import annotations

from torch import Tensor, nn

from greenroom.specs import Tree


class QNetwork(nn.Module):
    """A torso, and a linear head of action values.

    With ``dueling`` the head has two streams (Wang et al. 2016, equation 9):

        Q(s, a) = V(s) + A(s, a) - mean_a' A(s, a')
    """

    def __init__(self, torso: nn.Module, features: int, num_actions: int, *, dueling: bool) -> None:
        super().__init__()
        self.torso = torso
        self.advantages = nn.Linear(features, num_actions)
        self.value = nn.Linear(features, 1) if dueling else None

    def forward(self, observation: Tree) -> Tensor:
        """Return action values [B, A] of observations [B, ...]."""
        features_BF = self.torso(observation)
        advantages_BA: Tensor = self.advantages(features_BF)
        if self.value is None:
            return advantages_BA
        value_B1: Tensor = self.value(features_BF)
        return value_B1 + advantages_BA - advantages_BA.mean(dim=1, keepdim=True)
