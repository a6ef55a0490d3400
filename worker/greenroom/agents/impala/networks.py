"""Actor-critic networks: observations to a policy and a value, with or without a memory.

B is the batch, L records in a row, N environments, F features, A actions.
"""

from __future__ import annotations

import optree
from torch import Tensor, nn

from greenroom.acting.policies import PolicyNetwork
from greenroom.networks import LSTMCore
from greenroom.specs import Tree


class ActorCriticNetwork(PolicyNetwork):
    """A torso, perhaps a memory, and two linear heads: logits of the policy, and the value.

    Args:
        torso: observations [B, ...] to features [B, F].
        features: F.
        num_actions: A.
        hidden_size: units of the memory; None is none.
    """

    def __init__(
        self, torso: nn.Module, features: int, num_actions: int, hidden_size: int | None
    ) -> None:
        super().__init__()
        self.torso = torso
        self.core = None if hidden_size is None else LSTMCore(features, hidden_size)
        width = features if hidden_size is None else hidden_size
        self.policy = nn.Linear(width, num_actions)
        self.value = nn.Linear(width, 1)

    def initial_state(self, num_envs: int) -> Tree:
        """Return the memory of ``num_envs`` new episodes; () without one."""
        return () if self.core is None else self.core.initial_state(num_envs)

    def forward(self, observation: Tree, state: Tree) -> tuple[Tensor, Tree]:
        """Return the policy's logits [N, A] of observations [N, ...], and the memory after them."""
        features_NF = self.torso(observation)
        if self.core is not None:
            features_NF, state = self.core.step(features_NF, state)
        logits_NA: Tensor = self.policy(features_NF)
        return logits_NA, state

    def unroll(self, observation: Tree, first_BL: Tensor, state: Tree) -> tuple[Tensor, Tensor]:
        """Return logits [B, L, A] and values [B, L] of records in a row.

        Args:
            observation: leaves [B, L, ...].
            first_BL: bool: the record begins an episode.
            state: the memory before the first record, leaves [B, ...]; () without one.
        """
        flat = optree.tree_map(lambda leaf: leaf.flatten(0, 1), observation)
        features_BLF = self.torso(flat).unflatten(0, first_BL.shape)
        if self.core is not None:
            features_BLF = self.core.unroll(features_BLF, first_BL, state)
        value_BL: Tensor = self.value(features_BLF).squeeze(2)
        return self.policy(features_BLF), value_BL
