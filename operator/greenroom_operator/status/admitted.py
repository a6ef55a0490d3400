"""Admitted: whether a queue of Kueue's lets an experiment run, in Kueue's own words."""

from __future__ import annotations

from greenroom_operator import names, reasons
from greenroom_operator.observed import QueueEntry
from greenroom_operator.policies import queueing
from greenroom_operator.status.situation import Situation, Verdict
from greenroom_operator.words import PART_LIMIT, bounded, times


def admitted(situation: Situation) -> Verdict | None:
    """Return the condition, None for an experiment that names no queue."""
    experiment, observed = situation.experiment, situation.observed
    queue = queueing.queue(experiment)
    if not queue:
        return None
    if situation.terminal is not None:
        kind, _ = situation.terminal
        words = f"the experiment has {kind.lower()}: it needs no quota"
        return Verdict("False", kind, words)
    if not observed.queueing:
        label = f"{names.QUEUE}: {queue}"
        words = "there is no Kueue here that this operator is to ask"
        return Verdict("False", reasons.QUEUEING_MISSING, f"label {label}, but {words}")
    place = queueing.entry(experiment, observed)
    if situation.decision.goal == "suspend":
        words = f"spec.suspend is true: it does not wait in queue {queue}"
        return Verdict("False", reasons.NOT_QUEUED, words)
    if place is None:
        return Verdict("False", reasons.QUEUED, f"it is about to be put into queue {queue}")
    if place.evicted is not None and not _is_back(place):
        reason, words = place.evicted
        message = f"evicted ({reason}): {bounded(words, PART_LIMIT)}"
        return Verdict("False", reasons.EVICTED, bounded(message))
    if queueing.is_outdated(experiment, place) and (place.reserved or place.finished):
        words = "what it asks for is not what was admitted: it is queued anew once it has stopped"
        return Verdict("False", reasons.REQUEUED, words)
    if not place.admitted:
        words = f"it waits in queue {place.queue or queue}"
        if place.words:
            words += f": {bounded(place.words, PART_LIMIT)}"
        return Verdict("False", reasons.QUEUED, bounded(words))
    return _admitted(situation, place)


def _is_back(place: QueueEntry) -> bool:
    """Return whether it is in line again after an eviction: Kueue says so of its next admission."""
    reason, _ = place.evicted or ("", "")
    return not place.reserved and not reason.startswith("Deactivated")


def _admitted(situation: Situation, place: QueueEntry) -> Verdict:
    wanted = situation.experiment.resource.spec.actors.replicas
    given = place.counts.get("actor", wanted)
    if wanted != given:
        words = (
            f"spec.actors.replicas is {wanted}, but queue {place.queue} admitted "
            f"{times(given, 'actor')}, and an admitted experiment is not scaled; suspend and "
            "resume it to be queued anew"
        )
        return Verdict("True", reasons.SCALING_REFUSED, words)
    using = f", with quota of {place.cluster_queue}" if place.cluster_queue else ""
    return Verdict("True", reasons.ADMITTED, f"queue {place.queue} has admitted it{using}")
