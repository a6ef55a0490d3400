"""How often the learner is asked how far it is, and when to look again if nothing happens."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from greenroom_operator import names, stored
from greenroom_operator.experiment import Experiment
from greenroom_operator.observed import Observed
from greenroom_operator.policies import resume_source, stopping, ttl
from greenroom_operator.policies.success import finished

POLL_SECONDS = 15.0
HURRY_SECONDS = 1.0
"""While the learner serves its last word and waits to be asked for it."""

QUIET_SECONDS = 15.0
"""So long pods may take to become ready before a message names those that are waited for."""

_JITTER = 0.1
_SOURCE_SECONDS = 15.0
# A clock that was put right is noticed within this.
_LONGEST_SECONDS = 3_600.0


def poll_seconds(experiment: Experiment, observed: Observed) -> float | None:
    """Return the pause between two questions to the learner, None where there is none to ask."""
    learners = [pod for pod in stopping.remaining(observed, "learner") if pod.phase == "Running"]
    progress = observed.progress
    final = progress is not None and progress.checkpoint is not None and progress.checkpoint.final
    asked = [
        pod
        for pod in learners
        if not (pod.deleting and final and progress is not None and progress.pod == pod.uid)
    ]
    if not asked:
        return None
    ending = finished(observed) is not None and stored.terminal(experiment.status) is None
    if ending or any(pod.deleting for pod in asked):
        return HURRY_SECONDS
    return POLL_SECONDS * (1 - _JITTER + 2 * _JITTER * _share(experiment.uid))


def waiting_since(status: Mapping[str, Any]) -> datetime | None:
    """Return since when pods are to become ready, None if they are, or while they are not to.

    After a suspension that is its end, however long the experiment was not ready before.
    """
    kinds = names.READY, names.SUSPENDED
    if any(stored.condition(status, kind).get("status") != "False" for kind in kinds):
        return None
    ready, resumed = (stored.transition(status, kind) for kind in kinds)
    return None if ready is None or resumed is None else max(ready, resumed)


def _share(uid: str) -> float:
    """Return a number from 0 to 1 that is always the same for an experiment."""
    return int.from_bytes(hashlib.blake2b(uid.encode(), digest_size=4).digest(), "big") / 2**32


def recheck_seconds(experiment: Experiment, observed: Observed) -> float | None:
    """Return when time alone changes something: a deadline passes, or a message's patience."""
    waits = [
        (pod.leaves + stopping.LOST_AFTER - observed.now).total_seconds()
        for pod in observed.pods
        if pod.deleting and pod.leaves is not None
    ]
    remaining = ttl.remaining_seconds(experiment, observed.now)
    if remaining is not None:
        waits.append(remaining)
    if resume_source.blocked(experiment, observed) is not None:
        waits.append(_SOURCE_SECONDS)
    since = waiting_since(experiment.status)
    if since is not None:
        waits.append(QUIET_SECONDS - (observed.now - since).total_seconds())
    due = [wait for wait in waits if wait > 0]
    return min(*due, _LONGEST_SECONDS) + 0.5 if due else None
