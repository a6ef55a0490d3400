"""Which images the roles run."""

from __future__ import annotations

from typing import NamedTuple

from greenroom_operator.experiment import Experiment
from greenroom_operator.settings import PlanOptions


class Images(NamedTuple):
    """Images, before a ``podTemplate`` says otherwise.

    Attributes:
        worker: of learner, actors and evaluator.
        replay: of the Reverb server.
    """

    worker: str
    replay: str


def resolve_images(experiment: Experiment, options: PlanOptions) -> Images:
    """Return the images of an experiment, which its status keeps from then on.

    What the status has wins over what this operator would choose, so that a newer operator
    leaves running experiments as they are. The worker's is the user's to change.
    """
    kept = experiment.status.get("images", {})
    return Images(
        worker=experiment.resource.spec.image or kept.get("worker") or options.worker_image,
        replay=kept.get("replay") or options.replay_image,
    )
