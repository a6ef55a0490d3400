"""Whether training is over."""

from __future__ import annotations

from greenroom_operator.observed import Observed, Progress


def finished(observed: Observed) -> Progress | None:
    """Return the learner's word that a stop condition was met and all is saved, if it gave it."""
    progress = observed.progress
    if progress is None or progress.state != "finished":
        return None
    saved = progress.checkpoint is not None and progress.checkpoint.final
    return progress if saved else None
