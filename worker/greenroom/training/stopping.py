"""When a run ends, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class StopDescription(Protocol):
    """``spec.stop``; None is no condition. Any met one ends the run in success."""

    @property
    def environment_steps(self) -> int | None: ...
    @property
    def learner_steps(self) -> int | None: ...
    @property
    def episode_return(self) -> float | None: ...
    @property
    def duration(self) -> float | None: ...


@dataclass(frozen=True)
class Reached:
    """Where a run is.

    Attributes:
        episode_return: of the newest evaluation.
        seconds: running time, that before a resume included.
    """

    environment_steps: int
    learner_steps: int
    episode_return: float | None
    seconds: float


@dataclass(frozen=True)
class StopReason:
    """Why a run ended: a CamelCase reason for programs, a message for people."""

    reason: str
    message: str


def stop_reason(stop: StopDescription, reached: Reached) -> StopReason | None:
    """Return the first met condition, the wanted return before the budgets."""
    wanted, got = stop.episode_return, reached.episode_return
    if wanted is not None and got is not None and got >= wanted:
        return StopReason(
            "EpisodeReturnReached", f"an evaluation returned {got:.4g} of the wanted {wanted:g}"
        )
    if (limit := stop.environment_steps) is not None and reached.environment_steps >= limit:
        return StopReason("EnvironmentStepsReached", f"{reached.environment_steps:,} steps taken")
    if (limit := stop.learner_steps) is not None and reached.learner_steps >= limit:
        return StopReason("LearnerStepsReached", f"{reached.learner_steps:,} learner steps taken")
    if (seconds := stop.duration) is not None and reached.seconds >= seconds:
        return StopReason("DurationReached", f"{reached.seconds:.0f} s of {seconds:.0f} s passed")
    return None
