"""From ``spec.agent`` to a builder."""

from __future__ import annotations

from typing import Any, Protocol

import pydantic

from greenroom.agents.dqn import DQNBuilder
from greenroom.core import AgentBuilder
from greenroom.errors import ConfigurationError
from greenroom.imports import load_object
from greenroom.specs import EnvironmentSpec

AGENTS: dict[str, type[AgentBuilder]] = {"dqn": DQNBuilder}


class CustomDescription(Protocol):
    """An agent from a user's package."""

    @property
    def builder(self) -> str: ...
    @property
    def config(self) -> dict[str, Any]: ...


def make_builder(agent: pydantic.BaseModel, spec: EnvironmentSpec) -> AgentBuilder:
    """Return the builder of the one member that ``spec.agent`` has set.

    Raises:
        ConfigurationError: a custom builder cannot be had, its hyperparameters are
            refused, or the agent does not fit the environment.
    """
    for name, builder in AGENTS.items():
        config = getattr(agent, name)
        if config is not None:
            return builder(config, spec)
    custom: CustomDescription = agent.custom  # type: ignore[attr-defined]  # exactly one is set
    return _custom_builder(custom, spec)


def _custom_builder(custom: CustomDescription, spec: EnvironmentSpec) -> AgentBuilder:
    builder = load_object(custom.builder, "agent builder")
    config_class = getattr(builder, "config_class", None)
    if not (isinstance(config_class, type) and issubclass(config_class, pydantic.BaseModel)):
        raise ConfigurationError(
            "An agent builder names the pydantic model of its hyperparameters as config_class. "
            f"Got: {custom.builder} with config_class={config_class!r}."
        )
    try:
        config = config_class.model_validate(custom.config)
    except pydantic.ValidationError as error:
        problems = [
            f"spec.agent.custom.config.{'.'.join(map(str, problem['loc']))}: {problem['msg']}. "
            f"Got: {problem['input']!r}."
            for problem in error.errors()
        ]
        raise ConfigurationError("\n".join(problems)) from error
    made: AgentBuilder = builder(config, spec)
    return made
