"""What the operator is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What children look like, apart from their experiment.

    Attributes:
        worker_image: of learner, actors and evaluator where ``spec.image`` is not set.
        replay_image: of the Reverb server.
        pod_disruption_budgets, network_policies, pod_monitors: whether these are made.
        queueing: whether there is a Kueue for experiments that name a queue.
    """

    worker_image: str
    replay_image: str
    pod_disruption_budgets: bool = True
    network_policies: bool = True
    pod_monitors: bool = True
    queueing: bool = True


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it.

    Attributes:
        plan: see `PlanOptions`.
        namespaces: whose experiments are looked after; all if none is named.
        concurrency: experiments that are reconciled at the same time.
        leader_elect: whether to wait for the Lease before anything is done.
        lease_name, lease_namespace: of the Lease.
        identity: how this process is called in the Lease.
        http_host, http_port: where probes and metrics are; 0 lets the system choose.
        progress_seconds: between two questions to a learner that trains.
        progress_via: "pods" asks a learner's pod itself, "proxy" through the API server.
        resync_seconds: between two whole comparisons with the cluster.
    """

    plan: PlanOptions
    namespaces: tuple[str, ...] = ()
    concurrency: int = 16
    leader_elect: bool = True
    lease_name: str = "greenroom-operator"
    lease_namespace: str = "default"
    identity: str = ""
    http_host: str = "127.0.0.1"
    http_port: int = 8080
    progress_seconds: float = 15.0
    progress_via: Literal["pods", "proxy"] = "pods"
    resync_seconds: float = 600.0
