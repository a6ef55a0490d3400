"""``spec.agent.impala``: hyperparameters of the importance-weighted actor-learner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from pydantic import Field

from greenroom_api.base import ApiModel, BrokenRule, Validation
from greenroom_api.networks import LSTM, MLP, Network
from greenroom_api.values import Integer, Number


class IMPALA(ApiModel):
    """Importance-weighted actor-learner (Espeholt et al. 2018)."""

    learning_rate: Number = Field(default=1e-3, gt=0, description="Step size of Adam.")
    batch_size: Integer = Field(
        default=32,
        ge=1,
        le=65_536,
        description="Unrolls that one learner step takes, each of unrollLength transitions.",
    )
    unroll_length: Integer = Field(
        default=20,
        ge=2,
        le=10_000,
        description="Transitions in a row of one environment that are learnt from together. Where "
        "an episode ends among them, the next one follows it in the same unroll.",
    )
    discount: Number = Field(
        default=0.99,
        ge=0,
        le=1,
        description="How much a reward one step later is worth (gamma): 0 looks no step ahead, "
        "1 values all steps alike.",
    )
    rho_clip: Number = Field(
        default=1.0,
        gt=0,
        description="Bound of the importance weights of temporal-difference errors and of the "
        "policy gradient (rho of the paper). It decides which policy is valued: between the one "
        "that acted, near 0, and the one that learns.",
    )
    c_clip: Number = Field(
        default=1.0,
        ge=0,
        description="Bound of the importance weights with which later errors count for earlier "
        "values (c of the paper), rhoClip at most. It decides how fast values are learnt, not "
        "which. Below 1 it is lambda of TD(lambda) where the policy that acted is the one that "
        "learns.",
    )
    value_cost: Number = Field(
        default=0.5, ge=0, description="Weight of the value loss beside the policy gradient."
    )
    entropy_cost: Number = Field(
        default=0.01,
        ge=0,
        description="Weight of the bonus for the policy's entropy, which keeps it exploring.",
    )
    max_abs_reward: Number | None = Field(
        default=None,
        gt=0,
        description="Rewards are learnt from as if they were no further from 0 than this. Unset: "
        "as they are.",
    )
    max_gradient_norm: Number | None = Field(
        default=1.0,
        gt=0,
        description="Gradients are scaled down to this global norm where they exceed it; null: "
        "never.",
    )
    adam_epsilon: Number = Field(
        default=1e-8, gt=0, description="Adam's epsilon, for numerical stability."
    )
    network: Network = Field(
        default=Network(mlp=MLP()),
        description="The network between observation and, both fed by it, policy and value. "
        "Unset: an mlp with its defaults.",
    )
    lstm: LSTM | None = Field(
        default=None,
        description="A memory between network and output layers, for what the observation does "
        "not show; {} for its defaults. Unset: none, the policy sees the observation alone.",
    )

    @classmethod
    def broken_rules(
        cls, fields: Mapping[str, Any], given: AbstractSet[str]
    ) -> Iterator[BrokenRule]:
        """Yield the rule between the two bounds, if it does not hold."""
        match fields:
            case {"rho_clip": float(rho), "c_clip": float(c)} if c > rho:
                yield BrokenRule(
                    ("cClip",),
                    f"must not exceed rhoClip, or V-trace need not converge. Got: cClip={c:g}, "
                    f"rhoClip={rho:g}.",
                )

    @classmethod
    def validations(cls) -> tuple[Validation, ...]:
        """Return the same rule for the API server."""
        return (
            Validation(
                "self.cClip <= self.rhoClip",
                "cClip must not exceed rhoClip, or V-trace need not converge",
                path=".cClip",
                got={"cClip": "self.cClip", "rhoClip": "self.rhoClip"},
            ),
        )
