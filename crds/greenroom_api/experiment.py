"""RLExperiment, the one object that a user writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Literal

from pydantic import Field

from greenroom_api import rules, transitions
from greenroom_api.agent import Agent
from greenroom_api.base import ApiModel, BrokenRule, Validation
from greenroom_api.environment import Environment
from greenroom_api.lifecycle import Controller, FailurePolicy, Image, ResumeFrom
from greenroom_api.replay import Replay
from greenroom_api.roles import Actors, Checkpoint, Evaluator, Learner, Stop
from greenroom_api.values import MAX_COUNT, MAX_INT32, ExperimentName, Flag, Integer, Label

GROUP = "greenroom.dev"
VERSION = "v1alpha1"
KIND = "RLExperiment"
_ANOTHER = "must be another one than the experiment itself, which goes on by itself"


class Metadata(ApiModel):
    """The part of Kubernetes' metadata that a user writes."""

    name: ExperimentName = Field(
        description="Name of the experiment, unique in its namespace; a label of RFC 1035 of at "
        "most 45 characters."
    )
    namespace: Label | None = Field(default=None, description="Kubernetes namespace.")
    labels: dict[str, str] | None = Field(default=None, description="Kubernetes labels.")
    annotations: dict[str, str] | None = Field(default=None, description="Kubernetes annotations.")


class ExperimentSpec(ApiModel):
    """What is to be trained, on what, and until when."""

    environment: Environment = Field(
        description="What is to be solved: exactly one of gymnasium and factory."
    )
    agent: Agent = Field(
        description="The algorithm with its hyperparameters: exactly one member, named after it."
    )
    replay: Replay = Field(
        default=Replay(),
        description="How much experience is kept, and how acting and learning keep step.",
    )
    learner: Learner = Field(
        default=Learner(), description="What turns experience into parameters."
    )
    actors: Actors = Field(default=Actors(), description="What gathers experience.")
    evaluator: Evaluator = Field(
        default=Evaluator(),
        description="What measures progress: greedy episodes in environments of its own.",
    )
    checkpoint: Checkpoint = Field(
        default=Checkpoint(),
        description="What is saved, so that a run can go on after an interruption.",
    )
    stop: Stop = Field(
        description="When the run is over: at least one condition; the first one that is met ends "
        "it, in success.",
    )
    seed: Integer = Field(
        default=0,
        ge=0,
        le=MAX_COUNT,
        description="Where all randomness comes from. The same seed in the same place gives the "
        "same run; another seed another one.",
    )
    image: Image | None = Field(
        default=None,
        description="Container image of learner, actors and evaluator, with your environment and "
        "agent in it. Unset: Greenroom's own, of the operator's version when the experiment "
        "began. Local runs ignore it.",
    )
    suspend: Flag = Field(
        default=False,
        description="Whether to stop after a final checkpoint and free the nodes; volumes are "
        "kept, and false goes on from there. Local runs ignore it.",
    )
    managed_by: Controller | None = Field(
        default=None,
        description="Controller that looks after the experiment. Unset: Greenroom's operator, "
        "greenroom.dev/operator; it leaves alone what names another, such as "
        "kueue.x-k8s.io/multikueue. It cannot be changed. Local runs ignore it.",
    )
    ttl_seconds_after_finished: Integer | None = Field(
        default=None,
        ge=0,
        le=MAX_INT32,
        description="Seconds after success or failure after which the experiment is deleted, its "
        "volumes included unless checkpoint.retain keeps them. Unset: never. Local runs ignore "
        "it.",
    )
    failure_policy: FailurePolicy = Field(
        default=FailurePolicy(),
        description="When the experiment has failed for good. Local runs fail at once.",
    )
    resume_from: ResumeFrom | None = Field(
        default=None,
        description="A checkpoint to begin from, copied before the first start: exactly one of "
        "experiment and claimName. It cannot be changed. Local runs ignore it and have --resume.",
    )

    @classmethod
    def broken_rules(
        cls, fields: Mapping[str, Any], given: AbstractSet[str]
    ) -> Iterator[BrokenRule]:
        """Yield the rules between sections that do not hold."""
        sections = (fields.get(name) for name in ("agent", "replay", "actors", "stop"))
        return rules.broken_rules(*sections)

    @classmethod
    def validations(cls) -> tuple[Validation, ...]:
        """Return the same rules for the API server."""
        return (*rules.validations(), *transitions.of_spec())


class RLExperiment(ApiModel):
    """A reinforcement-learning experiment: an environment, an agent, and when to stop."""

    api_version: Literal["greenroom.dev/v1alpha1"] = Field(
        default="greenroom.dev/v1alpha1", description="Group and version of this object's schema."
    )
    kind: Literal["RLExperiment"] = Field(
        default="RLExperiment", description="Kind of this object."
    )
    metadata: Metadata = Field(description="Name of the object, and what Kubernetes keeps of it.")
    spec: ExperimentSpec = Field(description="What is to be trained, on what, and until when.")

    @classmethod
    def broken_rules(
        cls, fields: Mapping[str, Any], given: AbstractSet[str]
    ) -> Iterator[BrokenRule]:
        """Yield the rule that an experiment does not begin from itself."""
        match fields:
            case {
                "metadata": Metadata(name=name),
                "spec": ExperimentSpec(resume_from=ResumeFrom(experiment=source)),
            } if source == name:
                yield BrokenRule(("spec", "resumeFrom", "experiment"), f"{_ANOTHER}. Got: {name}.")

    @classmethod
    def validations(cls) -> tuple[Validation, ...]:
        """Return the same rule for the API server."""
        return (
            Validation(
                "!has(self.spec.resumeFrom) || !has(self.spec.resumeFrom.experiment) || "
                "self.spec.resumeFrom.experiment != self.metadata.name",
                f"experiment {_ANOTHER}",
                path=".spec.resumeFrom.experiment",
                got={"experiment": "self.metadata.name"},
            ),
        )
