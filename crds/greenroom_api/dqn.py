"""``spec.agent.dqn``: hyperparameters of the deep Q-network."""

from __future__ import annotations

from pydantic import Field

from greenroom_api.base import ApiModel
from greenroom_api.networks import MLP, Network
from greenroom_api.values import MAX_COUNT, Flag, Integer, Number


class PrioritizedReplay(ApiModel):
    """Prioritized experience replay (Schaul et al. 2016)."""

    priority_exponent: Number = Field(
        default=0.6,
        ge=0,
        le=1,
        description="How much the temporal-difference error decides what is sampled: 0 is "
        "uniform, 1 in proportion to it (alpha of the paper).",
    )
    importance_sampling_exponent: Number = Field(
        default=0.4,
        ge=0,
        le=1,
        description="How much of the bias of prioritized sampling is corrected by weights on "
        "the loss: 0 nothing, 1 all of it (beta of the paper).",
    )


class Epsilon(ApiModel):
    """The share of random actions, falling linearly and then constant."""

    initial: Number = Field(
        default=1.0, ge=0, le=1, description="Share of random actions at the first step."
    )
    final: Number = Field(
        default=0.05, ge=0, le=1, description="Share of random actions after decaySteps."
    )
    decay_steps: Integer = Field(
        default=10_000,
        ge=1,
        le=MAX_COUNT,
        description="Environment steps from initial to final.",
    )


class DQN(ApiModel):
    """Deep Q-network (Mnih et al. 2015) and its usual improvements."""

    learning_rate: Number = Field(default=1e-3, gt=0, description="Step size of Adam.")
    batch_size: Integer = Field(
        default=64, ge=1, le=1_048_576, description="Transitions that one learner step takes."
    )
    discount: Number = Field(
        default=0.99,
        ge=0,
        le=1,
        description="How much a reward one step later is worth (gamma): 0 looks no step ahead, "
        "1 values all steps alike.",
    )
    target_update_period: Integer = Field(
        default=128,
        ge=1,
        le=MAX_COUNT,
        description="Learner steps between two copies of the network into the target network.",
    )
    n_step: Integer = Field(
        default=1,
        ge=1,
        le=1_000,
        description="Rewards summed before bootstrapping (n-step returns).",
    )
    double: Flag = Field(
        default=True,
        description="Whether the online network chooses the action that the target network "
        "values (double Q-learning, van Hasselt et al. 2016).",
    )
    dueling: Flag = Field(
        default=False,
        description="Whether the network has separate streams for state value and advantages "
        "(Wang et al. 2016).",
    )
    prioritized: PrioritizedReplay | None = Field(
        default=None,
        description="Prioritized experience replay (Schaul et al. 2016); {} for its defaults. "
        "Unset: transitions are sampled uniformly. It cannot be had with a Queue.",
    )
    epsilon: Epsilon = Field(
        default=Epsilon(),
        description="Exploration: the share of random actions, falling linearly from initial to "
        "final and constant from then on.",
    )
    max_gradient_norm: Number | None = Field(
        default=10.0,
        gt=0,
        description="Gradients are scaled down to this global norm where they exceed it; null: "
        "never.",
    )
    adam_epsilon: Number = Field(
        default=1e-8, gt=0, description="Adam's epsilon, for numerical stability."
    )
    network: Network = Field(
        default=Network(mlp=MLP()),
        description="The network between observation and action values. Unset: an mlp with its "
        "defaults.",
    )
