"""What the operator is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What children look like, apart from their experiment.

    Attributes:
        worker_image: of learner, actors and evaluator where ``spec.image`` is not set.
        replay_image: of the Reverb server.
        pod_disruption_budgets, network_policies, pod_monitors: whether these are made.
        cluster_domain: of cluster DNS.
    """

    worker_image: str
    replay_image: str
    pod_disruption_budgets: bool = True
    network_policies: bool = True
    pod_monitors: bool = True
    cluster_domain: str = "cluster.local"
