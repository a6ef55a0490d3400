"""Whether a learner must wait for the volume that its experiment begins from."""

from __future__ import annotations

from greenroom_operator import reasons
from greenroom_operator.causes import Cause
from greenroom_operator.experiment import Experiment
from greenroom_operator.observed import Observed
from greenroom_operator.words import bounded, listed

# Names of pods that a message lists.
_LISTED = 3


def has_begun(experiment: Experiment, observed: Observed) -> bool:
    """Return whether a learner has run: its run directory is there, the source not needed."""
    runs = any(pod.phase == "Running" for pod in observed.pods_of("learner"))
    # Steps are in the status from when a learner runs.
    return runs or observed.progress is not None or "environmentSteps" in experiment.status


def blocked(experiment: Experiment, observed: Observed) -> Cause | None:
    """Return why the learner cannot begin from ``spec.resumeFrom``, None if it can."""
    source = observed.source
    if source is None or has_begun(experiment, observed):
        return None
    name = experiment.resource.spec.resume_from
    origin = "spec.resumeFrom"
    if name is not None and name.experiment is not None:
        origin = f"spec.resumeFrom: experiment {name.experiment}"
    if not source.exists:
        message = f"{origin}: there is no volume claim {source.claim} to begin from"
        return Cause(reasons.RESUME_SOURCE_MISSING, bounded(message))
    if source.users:
        users = sorted(source.users)
        more = [f"{len(users) - _LISTED} more"] if len(users) > _LISTED else []
        pods = listed([*users[:_LISTED], *more])
        message = f"{origin}: volume claim {source.claim} is in use by {pods}"
        return Cause(reasons.RESUME_SOURCE_IN_USE, bounded(message))
    return None
