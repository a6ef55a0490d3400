"""When experience has ceased to flow.

Acting and learning take turns at waiting for each other; that is what the rate limiter is
for. Flow has ceased when a learner says that it trains and neither count has moved for two
minutes. Since when they stand is in the status: ``progressTime`` changes with them.
"""

from __future__ import annotations

from greenroom_operator import names, reasons, stored
from greenroom_operator.experiment import Experiment
from greenroom_operator.observed import Observed
from greenroom_operator.status.progress import COUNTS

STALLED_SECONDS = 120.0

# The side that the other one waits for, and what that one cannot do.
_BLOCKED = {
    "acting": (reasons.SAMPLING_BLOCKED, "learning is blocked: it waits for actors' experience"),
    "learning": (reasons.INSERTING_BLOCKED, "acting is blocked: actors wait for the learner"),
}
_UNKNOWN = (reasons.BOTH_STAND_STILL, "neither acting nor learning moves, whoever waits for whom")


def is_stalled(experiment: Experiment, observed: Observed) -> bool:
    """Return whether a learner trains, and no count has moved for long."""
    progress, status = observed.progress, experiment.status
    if progress is None or progress.state != "training":
        return False
    counts = (progress.environment_steps, progress.learner_steps)
    if counts != tuple(status.get(name) for name in COUNTS[:2]):
        return False
    since = stored.time(status.get("progressTime"))
    stands = 0.0 if since is None else (progress.time - since).total_seconds()
    return stands >= STALLED_SECONDS or (
        # Once it has, other figures may change, as a rate does that goes on falling.
        stored.is_true(status, names.REPLAY_STALLED)
    )


def blocked_side(bottleneck: str | None) -> tuple[str, str]:
    """Return reason and words for who is blocked.

    Args:
        bottleneck: the side that the other one waits for.
    """
    return _BLOCKED.get(bottleneck or "", _UNKNOWN)
