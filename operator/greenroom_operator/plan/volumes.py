"""Volume claims: of the learner, and of replay where its own has to grow.

Volumes only grow, and a claim that is there is never asked to be smaller than it is: the
API server refuses that, and someone may have enlarged it by hand.
"""

from __future__ import annotations

from typing import Any

from greenroom_api.storage import Storage
from greenroom_operator.names import OWNER
from greenroom_operator.observed import Manifest, Observed
from greenroom_operator.plan.quantities import larger, quantity
from greenroom_operator.plan.subject import Subject

CLAIM = "data"
"""Name of the volume of replay and learner, and of replay's claim template."""


def learner_claim(subject: Subject, observed: Observed) -> Manifest:
    """Return the claim for the learner's run directory."""
    name, checkpoint = subject.child("learner"), subject.spec.checkpoint
    child = observed.children.get(("PersistentVolumeClaim", name))
    size = larger(checkpoint.storage.size, child.storage if child else None)
    retained = checkpoint.retain == "Retain"
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": subject.metadata(
            name,
            "learner",
            owned=not retained,
            annotations={OWNER: subject.uid} if retained else None,
        ),
        "spec": claim_spec(checkpoint.storage, size),
    }


def claim_spec(storage: Storage, size: str) -> dict[str, Any]:
    """Return the spec of a claim for one pod's volume."""
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
    }
    if storage.storage_class_name is not None:
        spec["storageClassName"] = storage.storage_class_name
    return spec


def replay_template_size(subject: Subject, observed: Observed) -> str:
    """Return the size in the claim template, which cannot change once the StatefulSet is there."""
    child = observed.children.get(("StatefulSet", subject.child("replay")))
    return (child.storage if child else None) or subject.spec.replay.storage.size


def replay_growth(subject: Subject, observed: Observed) -> Manifest | None:
    """Return what makes the claim grow that replay's StatefulSet made; None if it need not.

    Only the size is applied, and only once: the claim stays the StatefulSet's, which deletes
    it when it is deleted itself. Were the claim gone meanwhile, the API server would refuse to
    make one without access modes.
    """
    name = f"{CLAIM}-{subject.child('replay')}-0"
    child = observed.children.get(("PersistentVolumeClaim", name))
    wanted = subject.spec.replay.storage.size
    if child is None or child.deleting or child.storage is None:
        return None
    if quantity(wanted) <= quantity(child.storage):
        return None
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": subject.metadata(name, "replay", owned=False),
        "spec": {"resources": {"requests": {"storage": wanted}}},
    }
