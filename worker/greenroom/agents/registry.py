"""From ``spec.agent`` to a builder."""

from __future__ import annotations

import pydantic

from greenroom.agents.dqn import DQNBuilder
from greenroom.agents.impala import IMPALABuilder
from greenroom.core import AgentBuilder
from greenroom.errors import ConfigurationError
from greenroom.imports import load_object
from greenroom.spaces import EnvironmentSpec
from greenroom_api import Agent, CustomAgent, parse_section

BUILDER_METHODS = [name for name in vars(AgentBuilder) if name.startswith("make_")]
AGENTS: dict[str, type[AgentBuilder]] = {"dqn": DQNBuilder, "impala": IMPALABuilder}


def make_builder(agent: Agent, spec: EnvironmentSpec) -> AgentBuilder:
    """Return the builder of the one member that ``spec.agent`` has set.

    Raises:
        ConfigurationError: a custom builder cannot be had, or the agent does not fit the
            environment.
        InvalidExperiment: a custom builder's hyperparameters are refused.
    """
    for name, builder in AGENTS.items():
        config = getattr(agent, name)
        if config is not None:
            return builder(config, spec)
    assert agent.custom is not None, "exactly one is set"
    return _custom_builder(agent.custom, spec)


def _custom_builder(custom: CustomAgent, spec: EnvironmentSpec) -> AgentBuilder:
    builder = load_object(custom.builder, "agent builder")
    config_class = getattr(builder, "config_class", None)
    if not (isinstance(config_class, type) and issubclass(config_class, pydantic.BaseModel)):
        raise ConfigurationError(
            "An agent builder names the pydantic model of its hyperparameters as config_class. "
            f"Got: {custom.builder} with config_class={config_class!r}."
        )
    config = parse_section(
        config_class, custom.config, path="spec.agent.custom.config", source=custom.builder
    )
    missing = sorted(name for name in BUILDER_METHODS if not callable(getattr(builder, name, None)))
    if missing:
        raise ConfigurationError(
            "An agent builder has the methods of greenroom.core.AgentBuilder. Got: "
            f"{custom.builder} without {', '.join(missing)}."
        )
    made: AgentBuilder = builder(config, spec)
    return made
