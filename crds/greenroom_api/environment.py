"""``spec.environment``: what is to be solved."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from greenroom_api import transitions
from greenroom_api.base import ApiModel, OneOf, Validation
from greenroom_api.values import ImportPath, JsonObject, Text


class Gymnasium(ApiModel):
    """A registered Gymnasium environment."""

    id: Text = Field(
        description="Name under which Gymnasium knows the environment, such as CartPole-v1. "
        "With a module in front, my_package:MyTask-v0, that module is imported first.",
    )
    kwargs: JsonObject = Field(
        default={},
        description="Arguments for the environment's constructor, such as "
        "{continuous: true}. Names and values are the environment's own.",
    )
    vectorization: Literal["sync", "native"] = Field(
        default="sync",
        description="How several environments of one actor step together: sync steps one "
        "after the other, for every environment; native uses the environment's own vector "
        "implementation, which is faster, where it has one.",
    )


class Wrapper(ApiModel):
    """A wrapper around each environment."""

    name: Text = Field(
        description="Class name of a wrapper in gymnasium.wrappers, such as FlattenObservation. "
        "Wrappers with statistics across episodes, such as NormalizeObservation, are refused: "
        "each actor would have statistics of its own.",
    )
    kwargs: JsonObject = Field(
        default={},
        description="Arguments for the wrapper's constructor, such as {max_episode_steps: 200}.",
    )


class Environment(OneOf):
    """The environment and what is wrapped around it."""

    members: ClassVar[tuple[str, ...]] = ("gymnasium", "factory")

    gymnasium: Gymnasium | None = Field(
        default=None, description="An environment from Gymnasium's registry."
    )
    factory: ImportPath | None = Field(
        default=None,
        description="A callable of one's own that returns an environment, written "
        "module:callable. It must be importable wherever the experiment runs.",
    )
    wrappers: tuple[Wrapper, ...] = Field(
        default=(),
        max_length=32,
        description="Wrappers around each environment, from the innermost to the outermost.",
    )

    @classmethod
    def validations(cls) -> tuple[Validation, ...]:
        """Return the rules of members, and that nothing changes."""
        return (*super().validations(), *transitions.of_environment())
