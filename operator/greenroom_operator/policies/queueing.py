"""Whether a queue of Kueue's lets an experiment run, and what Kueue is told of it.

An experiment with the label ``kueue.x-k8s.io/queue-name`` owns a Workload, in which it asks for
its pods. Until that is admitted nothing starts, whatever ``spec.suspend`` says. An eviction
stops it as a suspension does: the learner saves, and the quota is given back once all pods are
gone. A Workload with quota never changes, so another number of actors is refused while it is
admitted; another need of the pods, or another queue, stops the run and queues it anew.

Source: https://kueue.sigs.k8s.io/docs/concepts/workload/, and what Kueue's own controllers of
jobs do to a Workload.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from greenroom_api import RLExperiment
from greenroom_operator import names, stored
from greenroom_operator.digests import digest
from greenroom_operator.experiment import Experiment
from greenroom_operator.observed import Child, Observed, QueueEntry
from greenroom_operator.policies import stopping, workloads
from greenroom_operator.policies.goal import Goal

# What of a podTemplate decides how much quota, of which nodes, pods need.
_NEEDS: Final = (
    *("nodeSelector", "tolerations", "affinity", "priorityClassName", "runtimeClassName"),
    *("overhead", "schedulerName", "resources", "resourceClaims"),
)
# Kueue puts an experiment back in line by itself after these; after others it says when.
_BACK_AT_ONCE: Final = ("Preempted", "NodeFailures")
_NOT_STARTED: Final = ("PodsReady", "False", "WaitForStart", "the pods have not started yet")


def queue(experiment: Experiment) -> str:
    """Return the LocalQueue that an experiment names, "" if it names none."""
    return (experiment.resource.metadata.labels or {}).get(names.QUEUE, "")


def workload(experiment: Experiment, observed: Observed) -> Child | None:
    """Return the experiment's own Workload, None if there is none."""
    child = observed.children.get((names.WORKLOAD, names.workload_name(experiment.name)))
    return child if child is not None and child.owner == experiment.uid else None


def entry(experiment: Experiment, observed: Observed) -> QueueEntry | None:
    """Return what the experiment's Workload says, None if there is none, or it is leaving."""
    child = workload(experiment, observed)
    return None if child is None or child.deleting else child.entry


def needs(resource: RLExperiment) -> str:
    """Return a digest of what pods ask of a queue, their numbers apart.

    It is made of the spec alone, so that a newer operator queues nothing anew.
    """
    spec = resource.spec
    templates = {
        role: dict(_of_template(template))
        for role, template in (
            ("replay", spec.replay.pod_template),
            ("learner", spec.learner.pod_template),
            ("actor", spec.actors.pod_template),
            ("evaluator", spec.evaluator.pod_template),
        )
    }
    return digest([templates, spec.learner.torch_threads])


def _of_template(template: Mapping[str, Any] | None) -> Iterator[tuple[str, Any]]:
    spec = (template or {}).get("spec") or {}
    for name in _NEEDS:
        if spec.get(name):
            yield name, spec[name]
    for group in ("initContainers", "containers"):
        for container in spec.get(group) or ():
            # An init container that is restarted runs beside the others, and not before them.
            if container.get("resources") or container.get("restartPolicy"):
                asked = container.get("resources"), container.get("restartPolicy")
                yield f"{group}/{container['name']}", asked


def is_outdated(experiment: Experiment, place: QueueEntry) -> bool:
    """Return whether a Workload asks for something else than the experiment needs."""
    asked = place.queue, place.inputs
    return place.finished or asked != (queue(experiment), needs(experiment.resource))


def may_run(experiment: Experiment, observed: Observed) -> bool:
    """Return whether pods may run: no queue is named, or it has admitted the experiment."""
    if not queue(experiment):
        return True
    place = entry(experiment, observed)
    if place is None or not place.admitted or place.evicted is not None:
        return False
    return not is_outdated(experiment, place)


def actors(experiment: Experiment, observed: Observed) -> int:
    """Return how many actors run while the experiment does: as many as were admitted."""
    place = entry(experiment, observed) if queue(experiment) else None
    wanted = experiment.resource.spec.actors.replicas
    return wanted if place is None else place.counts.get("actor", wanted)


def is_queued(experiment: Experiment, observed: Observed, goal: Goal) -> bool:
    """Return whether there is to be a Workload.

    It stays until all pods are gone, which use its quota; and it is made when none are left.
    """
    if not queue(experiment) or not observed.queueing:
        return False
    there = workload(experiment, observed) is not None
    if goal == "run":
        return True
    if goal in ("succeed", "fail"):
        return there
    stopped = is_empty(experiment, observed)
    if goal == "suspend":
        return there and not stopped
    place = entry(experiment, observed)
    if place is None:
        return there or stopped
    settled = place.reserved or place.finished
    return not (stopped and settled and is_outdated(experiment, place))


def is_empty(experiment: Experiment, observed: Observed) -> bool:
    """Return whether no pod is left, nor about to be made: its quota is another's then.

    A controller that was told "two", and then "none", may be making two.
    """
    if stopping.stage(experiment, observed) != "stopped":
        return False
    children = (workloads.workload(experiment, observed, role) for role in names.ROLES)
    return not any(child is not None and child.unobserved for child in children)


@dataclass(frozen=True, slots=True)
class Report:
    """What Kueue is to be told.

    Attributes:
        conditions: type, status, reason and message of the Workload's conditions that change.
        release: whether quota is given back.
    """

    conditions: tuple[tuple[str, str, str, str], ...]
    release: bool = False


def report(
    experiment: Experiment, observed: Observed, goal: Goal, status: Mapping[str, Any]
) -> Report | None:
    """Return what Kueue is to be told now, None if it knows all.

    Args:
        experiment, observed, goal: what was decided on.
        status: that the experiment has now.
    """
    place = entry(experiment, observed)
    if place is None or place.finished:
        return None
    stopped = is_empty(experiment, observed)
    ended = stored.terminal(status)
    if ended is not None:
        message = str(stored.condition(status, ended).get("message", ""))
        return Report((("Finished", "True", ended, message),)) if stopped else None
    if place.evicted is not None:
        return _released(place, *place.evicted) if stopped and place.reserved else None
    if goal != "run":
        return None
    return _readiness(place, stored.is_true(status, names.READY))


def _released(place: QueueEntry, reason: str, words: str) -> Report:
    conditions = [] if place.pods_ready is None else [_NOT_STARTED]
    back = "True" if reason in _BACK_AT_ONCE else "False"
    return Report(
        (
            ("QuotaReserved", "False", "Pending", words),
            ("Admitted", "False", "NoReservation", "The workload has no reservation"),
            ("Requeued", back, reason, words),
            *conditions,
        ),
        release=True,
    )


def _readiness(place: QueueEntry, ready: bool) -> Report | None:
    """Return the condition by which Kueue evicts what does not become ready, if it is told to."""
    known, reason, since = place.pods_ready or ("False", "WaitForStart", "")
    if since < place.admitted:
        # It is about another time that this ran; Kueue reckons by it how long to wait.
        if not ready and reason != "WaitForStart":
            return Report((_NOT_STARTED,))
        reason = ""
    if ready == (known == "True"):
        return None
    if ready:
        again = reason in ("WaitForRecovery", "Recovered")
        words = "replay, learner and actors are ready"
        return Report((("PodsReady", "True", "Recovered" if again else "Started", words),))
    return Report((("PodsReady", "False", "WaitForRecovery", "a role is not ready any more"),))
