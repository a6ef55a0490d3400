"""What the operator knows of the cluster: trimmed, immutable, without a Kubernetes client.

A child is kept as a few fields, not as the object: what is needed to tell whether it is
as planned, and what its pods say. Memory grows with children, not with their size.

    observed = Observed(experiment=..., children={("Deployment", "x-learner"): Child(...)},
                        pods=(Pod(...),), progress=Progress(...), now=datetime.now(UTC))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

from greenroom_operator.names import Role

ChildKey = tuple[str, str]
"""Kind and name; the namespace is the experiment's."""

LearnerState = Literal["starting", "training", "stopping", "finished", "stopped"]


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """What Kueue's Workload of an experiment says: its place in a queue, and what came of it.

    Attributes:
        queue: the LocalQueue.
        inputs: annotation ``greenroom.dev/inputs``: digest of what was asked for.
        counts: pods by role: what was admitted, else what was asked for.
        reserved: whether quota is held for it; then what it asks for cannot change.
        admitted: when it was admitted, as it is written; "" while it is not.
        evicted: reason and words, None if it was not since it was admitted last.
        finished: whether it holds quota no more, for good.
        pods_ready: status, reason and time of its condition PodsReady, None without.
        words: why it waits, in Kueue's words, and in those of admission checks.
        priority: name and value of its WorkloadPriorityClass, None without.
        cluster_queue: whose quota it uses.
        flavors: names of the ResourceFlavors of each role's pods.
        updates: what admission checks want of each role's pods: labels, annotations,
            nodeSelector, tolerations.
    """

    queue: str = ""
    inputs: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    reserved: bool = False
    admitted: str = ""
    evicted: tuple[str, str] | None = None
    finished: bool = False
    pods_ready: tuple[str, str, str] | None = None
    words: str = ""
    priority: tuple[str, int] | None = None
    cluster_queue: str = ""
    flavors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    updates: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Child:
    """An object that the operator made, or that stands where it wants to make one.

    Attributes:
        uid: of the object.
        owner: uid of its controlling owner, or of the experiment that an ownerless volume claim
            was made for; None if it has neither.
        deleting: whether it has a deletion timestamp.
        applied: annotation ``greenroom.dev/applied``.
        inputs: annotation ``greenroom.dev/inputs`` of its pod template; workloads only.
        owned: digest of the fields that this operator's field manager owns.
        replicas, existing: ``spec.replicas`` and ``status.replicas``; workloads only.
        storage: requested size of a volume claim, or of a StatefulSet's claim template.
        bound: phase of a volume claim.
        unobserved: whether it is to have no pods, and its controller may not know that yet.
        failure: why a Deployment cannot make pods: its condition ReplicaFailure's words, else "".
        entry: what a Workload of Kueue says.
    """

    uid: str
    owner: str | None = None
    deleting: bool = False
    applied: str | None = None
    inputs: str | None = None
    owned: str | None = None
    replicas: int | None = None
    existing: int = 0
    storage: str | None = None
    bound: str | None = None
    unobserved: bool = False
    failure: str = ""
    entry: QueueEntry | None = None


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod, as its role's container and the scheduler describe it.

    Attributes:
        name, uid, role: of the pod.
        phase: ``status.phase``.
        ready: condition Ready.
        deleting: whether it has a deletion timestamp.
        leaves: that timestamp: when its grace period is over.
        ip: ``status.podIP``, "" before it has one.
        restarts: restarts of the containers that are ours: the role's, and what prepares it.
        waiting, waiting_message: why a container waits ("ImagePullBackOff",
            "CrashLoopBackOff", "CreateContainerConfigError"), "" if none does.
        exit_code, exit_reason, exit_message: how a container ended last ("OOMKilled",
            "Error") and its last words; None and "" if none did.
        unschedulable: the scheduler's words while no node takes it, else "".
        reason, message: ``status.reason`` and ``status.message`` ("Evicted").
        inputs: annotation ``greenroom.dev/inputs``.
        owner: annotation ``greenroom.dev/owner``: the uid of its experiment, "" without.
    """

    name: str
    uid: str
    role: Role
    phase: str = "Pending"
    ready: bool = False
    deleting: bool = False
    leaves: datetime | None = None
    ip: str = ""
    restarts: int = 0
    waiting: str = ""
    waiting_message: str = ""
    exit_code: int | None = None
    exit_reason: str = ""
    exit_message: str = ""
    unschedulable: str = ""
    reason: str = ""
    message: str = ""
    inputs: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that the learner reports.

    Attributes:
        environment_steps, learner_steps: its counts.
        time: when it was written.
        final: whether nothing will follow it: training is over, or was asked to stop.
    """

    environment_steps: int
    learner_steps: int
    time: datetime
    final: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """What the learner's ``/status`` said.

    Attributes:
        time: when it was read.
        pod: uid of the pod that said it.
        state: "finished" once a stop condition was met and all is saved; "stopped" once it was
            interrupted and all is saved.
        detail: the same for people: how it finished, what it waits for.
        bottleneck: "acting" or "learning": the side that the other one waits for.
    """

    time: datetime
    pod: str
    state: LearnerState
    detail: str = ""
    environment_steps: int = 0
    learner_steps: int = 0
    episode_return: float | None = None
    environment_steps_per_second: float | None = None
    learner_steps_per_second: float | None = None
    samples_per_insert: float | None = None
    bottleneck: str | None = None
    checkpoint: Checkpoint | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """A learner that did not answer.

    Attributes:
        since: when it was asked in vain first.
        error: why it did not answer, for people.
    """

    since: datetime
    error: str


@dataclass(frozen=True, slots=True)
class Source:
    """The experiment or claim that ``spec.resumeFrom`` names.

    Attributes:
        exists: whether its volume claim is there.
        users: names of pods that use the claim, this experiment's own apart.
    """

    claim: str
    exists: bool
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """All that a reconcile of one experiment looks at.

    Attributes:
        children: by kind and name.
        pods: of all roles, in the order of their names; those that are leaving included.
        progress: the newest answer of the learner, None if there was none since this operator
            started.
        silence: set while the learner's pod runs and does not answer.
        source: of ``spec.resumeFrom``, None without.
        refused: what the API server answered to the last try to write a child, by its key.
        queueing: whether there is a Kueue.
        priority: name and value of the WorkloadPriorityClass that the experiment names, None
            without.
        now: wall-clock time, in UTC.
    """

    now: datetime
    children: Mapping[ChildKey, Child] = field(default_factory=lambda: MappingProxyType({}))
    pods: tuple[Pod, ...] = ()
    progress: Progress | None = None
    silence: Silence | None = None
    source: Source | None = None
    refused: Mapping[ChildKey, str] = field(default_factory=lambda: MappingProxyType({}))
    queueing: bool = True
    priority: tuple[str, int] | None = None

    def pods_of(self, *roles: Role) -> tuple[Pod, ...]:
        """Return the pods of these roles."""
        return tuple(pod for pod in self.pods if pod.role in roles)


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policies make of an experiment and what was observed.

    Attributes:
        replicas: wanted pods by role.
        goal: what the experiment moves towards; "queue" while a queue has not admitted it.
        queued: whether there is to be a Workload of Kueue.
        delete: whether the whole experiment is to be deleted now (its TTL has passed).
        recheck_seconds: when to look again even if nothing happens, None if need not be.
        poll_seconds: how often to ask the learner meanwhile, None for not at all.
    """

    replicas: Mapping[Role, int]
    goal: Literal["run", "queue", "suspend", "succeed", "fail"]
    queued: bool = False
    delete: bool = False
    recheck_seconds: float | None = None
    poll_seconds: float | None = None


Manifest = dict[str, Any]
"""A Kubernetes object as plain values, as it is applied."""
