"""The volume that ``spec.resumeFrom`` names, as far as it is known."""

from __future__ import annotations

from greenroom_operator.cache import Cache
from greenroom_operator.experiment import Experiment
from greenroom_operator.kinds import VOLUME_CLAIM
from greenroom_operator.names import child_name
from greenroom_operator.observed import Source


def source_of(experiment: Experiment, cache: Cache) -> Source | None:
    """Return what is known of the claim that an experiment begins from; None if of none.

    Of a claim that no experiment of ours has made it is not known who uses it: then the
    scheduler or the kubelet have the last word.
    """
    wanted = experiment.resource.spec.resume_from
    if wanted is None:
        return None
    owner = wanted.experiment
    claim = wanted.claim_name or child_name(owner or "", "learner")
    if owner is None:
        owner = claim.removesuffix("-learner")
    family = cache.peek((experiment.namespace, owner))
    if family is None:
        return Source(claim, exists=wanted.experiment is None)
    known = (VOLUME_CLAIM.kind, claim) in family.children
    users = tuple(
        pod.name
        for _, pod in sorted(family.pods.values(), key=lambda kept: kept[1].name)
        if pod.role == "learner" and pod.phase in ("Pending", "Running")
    )
    return Source(claim, exists=known or wanted.experiment is None, users=users if known else ())
