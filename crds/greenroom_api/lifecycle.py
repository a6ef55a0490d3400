"""What becomes of an experiment on Kubernetes: who looks after it, what it begins from, its end."""

from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar, TypeAlias

from pydantic import AfterValidator, Field, WithJsonSchema

from greenroom_api.base import ApiModel, OneOf
from greenroom_api.values import MAX_INT32, ExperimentName, Integer, Subdomain, match_pattern

_IMAGE_PATTERN = "^[A-Za-z0-9][-A-Za-z0-9._:/@]*$"
_CONTROLLER_PATTERN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9][-A-Za-z0-9_./]*$"

Image: TypeAlias = Annotated[
    str,
    Field(max_length=1_024),
    AfterValidator(
        partial(
            match_pattern,
            _IMAGE_PATTERN,
            "must be a container image, like example.com/team/worker:1.0",
        )
    ),
    WithJsonSchema({"type": "string", "maxLength": 1_024, "pattern": _IMAGE_PATTERN}),
]
Controller: TypeAlias = Annotated[
    str,
    Field(max_length=63),
    AfterValidator(
        partial(
            match_pattern,
            _CONTROLLER_PATTERN,
            "must name a controller with its domain in front, like example.com/controller",
        )
    ),
    WithJsonSchema({"type": "string", "maxLength": 63, "pattern": _CONTROLLER_PATTERN}),
]


class FailurePolicy(ApiModel):
    """When an experiment has failed for good."""

    backoff_limit: Integer = Field(
        default=6,
        ge=0,
        le=MAX_INT32,
        description="Restarts of the containers of replay, learner and evaluator, summed up, "
        "after which the experiment has failed; it also fails once an actor has restarted more "
        "often than that while no actor is ready. Waiting for a node or an image is no failure.",
    )


class ResumeFrom(OneOf):
    """A checkpoint to begin from: of another experiment, or on a volume claim."""

    members: ClassVar[tuple[str, ...]] = ("experiment", "claim_name")

    experiment: ExperimentName | None = Field(
        default=None,
        description="Experiment in the same namespace whose newest checkpoint to begin from. It "
        "must have ended or be suspended, so that its volume is free.",
    )
    claim_name: Subdomain | None = Field(
        default=None,
        description="PersistentVolumeClaim with a learner's run directory, such as one that an "
        "experiment with checkpoint.retain Retain left behind.",
    )
