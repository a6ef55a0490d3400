"""The parts of a run beside agent and replay: learner, actors, evaluator, checkpoints, stop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Literal

from pydantic import Field
from pydantic.alias_generators import to_camel

from greenroom_api.base import ApiModel, BrokenRule, Validation
from greenroom_api.pod_template import POD_TEMPLATE, PodTemplate
from greenroom_api.storage import CheckpointStorage
from greenroom_api.values import MAX_COUNT, Duration, Integer, Number

_ONE_LEARNER = "must be 1 until learners can share the work of one experiment"


class Learner(ApiModel):
    """What turns experience into parameters."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description="Where the learner computes: cpu, cuda (one GPU), or auto, which is cuda "
        "where there is a GPU.",
    )
    torch_threads: Integer = Field(
        default=1,
        ge=1,
        le=1_024,
        description="Threads of one torch operation. More than 1 helps large networks on a CPU "
        "only.",
    )
    replicas: Integer = Field(
        default=1,
        ge=1,
        le=1_024,
        description="Learners that share the work. Must be 1 as yet: data-parallel learning is to "
        "come.",
    )
    pod_template: PodTemplate | None = Field(default=None, description=POD_TEMPLATE)

    @classmethod
    def broken_rules(
        cls, fields: Mapping[str, Any], given: AbstractSet[str]
    ) -> Iterator[BrokenRule]:
        """Yield the rule that there is one learner."""
        replicas = fields.get("replicas", 1)
        if replicas != 1:
            yield BrokenRule(("replicas",), f"{_ONE_LEARNER}. Got: {replicas}.")

    @classmethod
    def validations(cls) -> tuple[Validation, ...]:
        """Return the rule that there is one learner."""
        return (
            Validation(
                "self.replicas == 1",
                f"replicas {_ONE_LEARNER}",
                path=".replicas",
                got={"replicas": "self.replicas"},
            ),
        )


class Actors(ApiModel):
    """What gathers experience."""

    replicas: Integer = Field(
        default=1,
        ge=1,
        le=100_000,
        description="Actors, each a process (or pod) of its own, that gather experience at the "
        "same time. The rate limiter keeps the proportion of learning to acting whatever their "
        "number. Training in one process has one.",
    )
    environments_per_actor: Integer = Field(
        default=1,
        ge=1,
        le=65_536,
        description="Environments that one actor steps together, with one forward pass for all.",
    )
    pod_template: PodTemplate | None = Field(default=None, description=POD_TEMPLATE)


class Evaluator(ApiModel):
    """What measures progress: greedy episodes in environments of its own."""

    episodes: Integer = Field(
        default=10,
        ge=1,
        le=100_000,
        description="Episodes of one evaluation, played without exploration; their mean return "
        "is the episodeReturn that stop looks at.",
    )
    interval: Integer = Field(
        default=5_000,
        ge=1,
        le=MAX_COUNT,
        description="Environment steps from one evaluation to the next.",
    )
    pod_template: PodTemplate | None = Field(default=None, description=POD_TEMPLATE)


class Checkpoint(ApiModel):
    """What is saved, so that a run can go on after an interruption."""

    interval: Duration = Field(
        default=Duration("5m"),
        description="Time from one checkpoint to the next, written like 30s, 5m or 1h30m. One "
        "more is written at the end.",
    )
    keep: Integer = Field(
        default=3, ge=1, le=1_000, description="Checkpoints that are kept; older ones are deleted."
    )
    storage: CheckpointStorage = Field(
        default=CheckpointStorage(),
        description="The learner's volume, for checkpoints, records and the policy. Local runs "
        "write to their run directory.",
    )
    retain: Literal["Delete", "Retain"] = Field(
        default="Delete",
        description="What becomes of the learner's volume when the experiment is deleted: Delete "
        "removes it with the experiment, Retain leaves it behind, for resumeFrom.claimName for "
        "instance. Local runs keep what they wrote.",
    )


class Stop(ApiModel):
    """When the run is over. The condition that is met first ends it, in success."""

    environment_steps: Integer | None = Field(
        default=None,
        ge=1,
        le=MAX_COUNT,
        description="Environment steps, over all environments of all actors.",
    )
    learner_steps: Integer | None = Field(
        default=None, ge=1, le=MAX_COUNT, description="Learner steps, each on one batch."
    )
    episode_return: Number | None = Field(
        default=None,
        description="Mean return of one evaluation, that is, of evaluator.episodes greedy "
        "episodes.",
    )
    duration: Duration | None = Field(
        default=None,
        description="Time that the run has taken, written like 30s, 5m or 1h30m; time before an "
        "interruption counts.",
    )

    @classmethod
    def broken_rules(
        cls, fields: Mapping[str, Any], given: AbstractSet[str]
    ) -> Iterator[BrokenRule]:
        """Yield the rule that some condition is set."""
        if not given:
            yield BrokenRule((), f"{cls._rule()}. Got: none.")

    @classmethod
    def validations(cls) -> tuple[Validation, ...]:
        """Return the rule that some condition is set."""
        conditions = " || ".join(f"has(self.{to_camel(name)})" for name in cls.model_fields)
        return (Validation(conditions, cls._rule(), got=("'none'",)),)

    @classmethod
    def _rule(cls) -> str:
        return f"at least one of {', '.join(map(to_camel, cls.model_fields))} must be set"
