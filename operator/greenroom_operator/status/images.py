"""Which images an experiment keeps, whatever a newer operator would take."""

from __future__ import annotations

from greenroom_operator import stored
from greenroom_operator.experiment import Experiment
from greenroom_operator.settings import PlanOptions


def resolve_images(experiment: Experiment, options: PlanOptions) -> dict[str, str]:
    """Return ``status.images``: what was resolved once stays, but ``spec.image`` stands above it.

    An experiment whose ``spec.image`` is taken away keeps the image that it ran with.
    """
    before = stored.mapping(experiment.status.get("images"))
    spec = experiment.resource.spec
    return {
        "worker": spec.image or before.get("worker") or options.worker_image,
        "replay": before.get("replay") or options.replay_image,
    }
