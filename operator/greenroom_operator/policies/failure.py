"""What counts as a failure, and when an experiment has failed for good.

Restarts of containers of replay, learner and evaluator count, each once, and only of pods
that stay: one that leaves is meant to end. Actors are disposable: theirs count only when
none is left that works. A pod that never started has not failed.
"""

from __future__ import annotations

from dataclasses import dataclass

from greenroom_operator import reasons, stored
from greenroom_operator.causes import WORKLOAD, Cause, ending
from greenroom_operator.experiment import Experiment
from greenroom_operator.names import Role, child_name
from greenroom_operator.observed import Observed, Pod
from greenroom_operator.words import bounded, last_line, times

EXIT_INVALID = 2
"""A role's exit code where the experiment asks for what cannot be."""

EXIT_PERMANENT = 3
"""A role's exit code where trying again cannot help, as when training diverged."""

_PERMANENT = {EXIT_INVALID: reasons.INVALID, EXIT_PERMANENT: reasons.CANNOT_GO_ON}
_COUNTED: tuple[Role, ...] = ("replay", "learner", "evaluator")


@dataclass(frozen=True, slots=True)
class Failures:
    """Failures so far.

    Attributes:
        total: over the life of the experiment.
        restarts: what was counted of each pod that runs, by uid.
    """

    total: int
    restarts: dict[str, int]


def count_failures(experiment: Experiment, observed: Observed) -> Failures:
    """Return the failures, with those since the previous status."""
    total = stored.count(experiment.status.get("failures"))
    known = stored.restarts(experiment.status)
    restarts = {}
    for pod in observed.pods_of(*_COUNTED):
        if pod.deleting or pod.phase in ("Succeeded", "Failed"):
            continue
        before = known.get(pod.uid, 0)
        total += max(0, pod.restarts - before)
        if number := max(pod.restarts, before):
            restarts[pod.uid] = number
    return Failures(total, restarts)


def failed(experiment: Experiment, observed: Observed, failures: Failures) -> Cause | None:
    """Return why an experiment has failed for good, None if it has not."""
    current = [pod for pod in observed.pods if _is_current(experiment, observed, pod)]
    for pod in current:
        if pod.exit_code in _PERMANENT and not pod.ready:
            return Cause(_PERMANENT[pod.exit_code], bounded(_last_words(pod)))
    limit = experiment.resource.spec.failure_policy.backoff_limit
    rule = f"spec.failurePolicy.backoffLimit is {limit}"
    if failures.total > limit:
        worst = max(
            (pod for pod in current if pod.role in _COUNTED),
            key=lambda pod: (pod.exit_code is not None, pod.restarts),
            default=None,
        )
        last = "" if worst is None or worst.exit_code is None else f": {_last_words(worst)}"
        message = f"{times(failures.total, 'failure')}, and {rule}{last}"
        return Cause(reasons.BACKOFF_LIMIT, bounded(message))
    actors = [pod for pod in current if pod.role == "actor"]
    worst = max(actors, key=lambda pod: pod.restarts, default=None)
    if worst is None or worst.restarts <= limit or any(pod.ready for pod in actors):
        return None
    message = (
        f"no actor is ready, one restarted {times(worst.restarts, 'time')}, and {rule}: "
        f"{_last_words(worst)}"
    )
    return Cause(reasons.BACKOFF_LIMIT, bounded(message))


def _last_words(pod: Pod) -> str:
    oom = " (OOMKilled)" if pod.exit_reason == reasons.OOM_KILLED else ""
    line = last_line(pod.exit_message)
    return f"{pod.role} ended with {ending(pod)}{oom}" + (f": {line}" if line else "")


def _is_current(experiment: Experiment, observed: Observed, pod: Pod) -> bool:
    """Return whether a pod is of the spec as it is: neither leaving nor about to be replaced."""
    child = observed.children.get((WORKLOAD[pod.role], child_name(experiment.name, pod.role)))
    replaced = child is not None and child.inputs and pod.inputs and child.inputs != pod.inputs
    return not pod.deleting and not replaced
