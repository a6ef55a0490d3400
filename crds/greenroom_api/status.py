"""``status``: what the operator tells of an experiment.

Plain values are checked with ``ExperimentStatus.model_validate``; times are RFC 3339, in UTC.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AwareDatetime, BeforeValidator, Field

from greenroom_api.base import ApiModel
from greenroom_api.lists import KeyedBy
from greenroom_api.pods import Objects, Strings
from greenroom_api.values import MAX_COUNT, MAX_INT32, Flag, Integer, Number, Text, broken, show

_REASON_PATTERN = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
_TYPE_PATTERN = "^[A-Za-z]+$"

_TIME_PATTERN = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[-+]\d\d:\d\d)"


def _rfc_3339(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(_TIME_PATTERN, value, re.ASCII):
        return value
    raise broken(f"must be a time of RFC 3339, like 2026-01-01T00:00:00Z. Got: {show(value)}.")


Time: TypeAlias = Annotated[AwareDatetime, BeforeValidator(_rfc_3339)]
Count: TypeAlias = Annotated[Integer, Field(ge=0, le=MAX_COUNT)]
Pods: TypeAlias = Annotated[Integer, Field(ge=0, le=MAX_INT32)]
"""As many as the scale sub-resource can count."""
Rate: TypeAlias = Annotated[Number, Field(ge=0)]
Phase: TypeAlias = Literal[
    "Queued", "Pending", "Running", "Degraded", "Suspending", "Suspended", "Succeeded", "Failed"
]


class Condition(ApiModel):
    """One statement about an experiment, as Kubernetes writes them (metav1.Condition)."""

    type: Annotated[str, Field(min_length=1, max_length=64, pattern=_TYPE_PATTERN)] = Field(
        description="What is stated: Ready, Progressing, Suspended, Succeeded, Failed, "
        "ReplayStalled or Admitted."
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it is so.")
    observed_generation: Count | None = Field(
        default=None, description="The metadata.generation that the statement is about."
    )
    last_transition_time: Time = Field(description="When status changed last.")
    reason: Annotated[str, Field(min_length=1, max_length=1_024, pattern=_REASON_PATTERN)] = Field(
        description="Why, in one CamelCase word for programs."
    )
    message: Annotated[str, Field(max_length=32_768)] = Field(
        description="Why, for people: the pods' own cause, where it is theirs."
    )


Conditions: TypeAlias = Annotated[tuple[Condition, ...], Field(max_length=16), KeyedBy("type")]


class Images(ApiModel):
    """Container images that an experiment was begun with."""

    worker: Text | None = Field(default=None, description="Of learner, actors and evaluator.")
    replay: Text | None = Field(default=None, description="Of the replay server.")


class RoleAdmission(ApiModel):
    """What a queue admitted of one role."""

    name: Literal["replay", "learner", "actor", "evaluator"] = Field(description="The role.")
    count: Pods = Field(description="Its pods.")
    node_selector: Strings | None = Field(
        default=None, description="Labels of the nodes that they are to run on."
    )
    tolerations: Objects | None = Field(
        default=None, description="Taints that they tolerate, as a pod has them."
    )
    labels: Strings | None = Field(default=None, description="Labels that they bear.")
    annotations: Strings | None = Field(default=None, description="Annotations that they bear.")


class Admission(ApiModel):
    """How Kueue admitted an experiment, as of the time at which it did."""

    workload: Text = Field(description="The metadata.uid of the Workload.")
    time: Time = Field(description="When it was admitted.")
    cluster_queue: Text | None = Field(default=None, description="Whose quota it uses.")
    pod_sets: Annotated[tuple[RoleAdmission, ...], Field(max_length=8), KeyedBy("name")] = Field(
        description="What each role got."
    )


class ActorStatus(ApiModel):
    """How many actors there are."""

    desired: Pods | None = Field(
        default=None, description="Actors that there should be now: none while suspended."
    )
    replicas: Pods | None = Field(default=None, description="Pods of actors that exist.")
    ready: Pods | None = Field(default=None, description="Pods of actors that are ready.")
    selector: Annotated[str, Field(max_length=1_024)] | None = Field(
        default=None, description="Label selector of these pods, for kubectl scale and autoscalers."
    )


class CheckpointStatus(ApiModel):
    """The newest checkpoint."""

    environment_steps: Count | None = Field(
        default=None, description="Environment steps that are in it."
    )
    learner_steps: Count | None = Field(default=None, description="Learner steps that are in it.")
    time: Time | None = Field(default=None, description="When it was written.")
    final: Flag | None = Field(
        default=None,
        description="Whether it was written at an end: of the training, or before a suspension.",
    )
    location: Annotated[str, Field(max_length=1_024)] | None = Field(
        default=None, description="The volume claim that holds it."
    )


class Restarts(ApiModel):
    """Restarts of one pod that were counted as failures."""

    uid: Text = Field(description="The pod's metadata.uid.")
    count: Count = Field(description="Restarts of its containers so far.")


class ExperimentStatus(ApiModel):
    """What is known of an experiment: how far it is, how well, and what holds it up."""

    observed_generation: Count | None = Field(
        default=None, description="The metadata.generation that all of this is about."
    )
    phase: Phase | None = Field(
        default=None,
        description="One word for all of it. Programs look at conditions, which say more.",
    )
    conditions: Conditions | None = Field(
        default=None,
        description="Ready: replay, learner and at least one actor are ready. Progressing: all "
        "that was asked for runs or starts; False with the cause if it cannot. Suspended, "
        "Succeeded, Failed: it has come to that. ReplayStalled: nothing has moved for long, "
        "since one side waits for the other. Admitted: a queue of Kueue's lets it run; only of "
        "experiments with the label kueue.x-k8s.io/queue-name.",
    )
    images: Images | None = Field(
        default=None,
        description="Container images, chosen once at the beginning, so that a newer operator "
        "does not restart what runs.",
    )
    admission: Admission | None = Field(
        default=None, description="How a queue of Kueue's admitted it."
    )
    token_secret: Text | None = Field(
        default=None, description="Secret with the token by which the roles know each other."
    )
    environment_steps: Count | None = Field(
        default=None, description="Environment steps so far, over all actors."
    )
    learner_steps: Count | None = Field(default=None, description="Learner steps so far.")
    episode_return: Number | None = Field(
        default=None, description="Mean return of the newest evaluation."
    )
    environment_steps_per_second: Rate | None = Field(
        default=None, description="Environment steps per second, lately."
    )
    learner_steps_per_second: Rate | None = Field(
        default=None, description="Learner steps per second, lately."
    )
    samples_per_insert: Rate | None = Field(
        default=None, description="How often an item has been sampled on average."
    )
    bottleneck: Literal["acting", "learning"] | None = Field(
        default=None,
        description="The side that the other one waits for: with acting, more actors help; with "
        "learning, a faster learner.",
    )
    actors: ActorStatus | None = Field(default=None, description="How many actors there are.")
    checkpoint: CheckpointStatus | None = Field(default=None, description="The newest checkpoint.")
    start_time: Time | None = Field(
        default=None, description="When replay, learner and an actor were first ready."
    )
    completion_time: Time | None = Field(
        default=None, description="When it succeeded or failed; the TTL counts from here."
    )
    progress_time: Time | None = Field(
        default=None, description="When the learner last told of progress that differed."
    )
    failures: Count | None = Field(
        default=None, description="Failures so far; failurePolicy.backoffLimit is their limit."
    )
    restarts: Annotated[tuple[Restarts, ...], Field(max_length=64), KeyedBy("uid")] | None = Field(
        default=None,
        description="What was counted of the pods that exist, so that nothing counts twice.",
    )
