"""How many pods of each role, while an experiment runs."""

from __future__ import annotations

from greenroom_operator.experiment import Experiment
from greenroom_operator.names import Role
from greenroom_operator.observed import Observed
from greenroom_operator.policies import queueing, resume_source, stopping, workloads


def running(experiment: Experiment, observed: Observed) -> dict[Role, int]:
    """Return the replicas of an experiment that runs: all at once, roles wait for each other."""
    learner = 1
    if resume_source.blocked(experiment, observed) is not None:
        learner = 0
    elif not workloads.present(experiment, observed, "learner"):
        # After a suspension: a Deployment that is scaled up does not wait for a pod that leaves,
        # which has the run directory still.
        leaving = any(pod.deleting for pod in stopping.remaining(observed, "learner"))
        learner = 0 if leaving else 1
    actors = queueing.actors(experiment, observed)
    return {"replay": 1, "learner": learner, "actor": actors, "evaluator": 1}
