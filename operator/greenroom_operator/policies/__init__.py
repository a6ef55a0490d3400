"""What is to become of an experiment: one decision a file, all of them pure.

    decision = decide(experiment, observed)

    managed_by      whether it is ours at all
    goal            run, suspend, succeed or fail
    queueing        whether a queue lets it run, and what Kueue is told of it
    scaling         replicas while it runs
    resume_source   whether the learner must wait for the volume that it begins from
    stopping        replicas while it stops: actors and evaluator, then the learner, then replay
    success         whether training is over
    failure         what counts as a failure, and when they are too many
    ttl             when an experiment that has ended is deleted
    polling         how often the learner is asked, and when to look again

The terminal condition stands in the status before anything stops for it: `goal` looks at
nothing else, so that whoever reads the status never finds pods gone for no reason.
"""

from __future__ import annotations

from greenroom_operator.experiment import Experiment
from greenroom_operator.names import ROLES
from greenroom_operator.observed import Decision, Observed
from greenroom_operator.policies import polling, queueing, scaling, stopping, ttl, workloads
from greenroom_operator.policies.goal import goal
from greenroom_operator.policies.managed_by import is_ours

__all__ = ["decide", "is_ours"]


def decide(experiment: Experiment, observed: Observed) -> Decision:
    """Return what is to be done for an experiment as it was observed.

    Nothing is, if somebody else looks after it, or if it is being deleted: Kubernetes' garbage
    collection does the rest.
    """
    if experiment.deleting or not is_ours(experiment):
        as_it_is = {role: workloads.present(experiment, observed, role) for role in ROLES}
        return Decision(replicas=as_it_is, goal="run")
    wanted = goal(experiment)
    if wanted == "run" and not queueing.may_run(experiment, observed):
        wanted = "queue"
    if wanted == "run":
        replicas = scaling.running(experiment, observed)
    else:
        replicas = stopping.stopping(experiment, observed)
    return Decision(
        replicas=replicas,
        goal=wanted,
        queued=queueing.is_queued(experiment, observed, wanted),
        delete=ttl.is_due(experiment, observed.now),
        recheck_seconds=polling.recheck_seconds(experiment, observed),
        poll_seconds=polling.poll_seconds(experiment, observed),
    )
