"""``spec.agent``: the algorithm and its hyperparameters."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from greenroom_api import transitions
from greenroom_api.base import ApiModel, OneOf, Validation
from greenroom_api.dqn import DQN
from greenroom_api.impala import IMPALA
from greenroom_api.values import ImportPath, JsonObject


class CustomAgent(ApiModel):
    """An agent from a package of one's own."""

    builder: ImportPath = Field(
        description="Class that implements greenroom.core.AgentBuilder, written module:Class. "
        "It must be importable wherever the experiment runs.",
    )
    config: JsonObject = Field(
        default={},
        description="Hyperparameters of the agent. They are checked against the builder's "
        "config_class when the experiment starts.",
    )


class Agent(OneOf):
    """The agent: one member, named after its algorithm."""

    members: ClassVar[tuple[str, ...]] = ("dqn", "impala", "custom")

    dqn: DQN | None = Field(
        default=None,
        description="Deep Q-network (Mnih et al. 2015), for environments with one discrete "
        "action. All its fields have defaults: {} is a complete choice.",
    )
    impala: IMPALA | None = Field(
        default=None,
        description="Importance-weighted actor-learner with V-trace (Espeholt et al. 2018), for "
        "environments with one discrete action. It needs replay.rateLimiter Queue. All its "
        "fields have defaults: {} is a complete choice.",
    )
    custom: CustomAgent | None = Field(
        default=None, description="An agent from a package of one's own."
    )

    @classmethod
    def validations(cls) -> tuple[Validation, ...]:
        """Return the rules of members, and that another one is not chosen."""
        return (*super().validations(), *transitions.of_agent(cls.members))
