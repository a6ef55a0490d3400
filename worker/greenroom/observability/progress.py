"""Plain values that a run is shown by: where it is, what it is, how it ended."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class StopLimits:
    """``spec.stop`` as a display reads it; None is no condition, any met one ends the run.

    Attributes:
        environment_steps, learner_steps: counts.
        episode_return: mean of one evaluation.
        duration_seconds: running time.
    """

    environment_steps: int | None = None
    learner_steps: int | None = None
    episode_return: float | None = None
    duration_seconds: float | None = None


@dataclass(frozen=True)
class Header:
    """What does not change while a run goes on."""

    experiment: str
    agent: str
    environment: str
    run_directory: Path


@dataclass(frozen=True)
class RoleStatus:
    """One process of a run.

    Attributes:
        name: such as "actor-0".
        state: a word or two: "running", "waiting".
        detail: what it is at, or waits for.
        restarts: how often it was started again.
    """

    name: str
    state: str
    detail: str = ""
    restarts: int = 0


@dataclass(frozen=True)
class Progress:
    """Where a run is, at one moment.

    Attributes:
        state: one word, such as "Running", "Evaluating" or "Saving".
        environment_steps, learner_steps, episodes: counted since the run began,
            earlier processes of a resumed run included.
        training_return: mean of the newest 100 training episodes (with exploration).
        episode_return: mean of the newest evaluation.
        episode_returns: means of the evaluations so far, oldest first.
        environment_steps_per_second, learner_steps_per_second: of the last seconds.
        samples_per_insert, wanted_samples_per_insert: observed, and the rate limiter's.
        bottleneck: the side that the other waits for, "actor" or "learner".
        bottleneck_share: that side's share of the time, 0 to 1.
        wall_seconds: running time.
        eta_seconds: expected time to the end (`estimate_eta`).
        stop: the stop conditions.
        agent_metrics: the agent's own numbers worth watching, such as epsilon.
        waiting_for: what holds the run up at this moment, in words; None if nothing does.
        roles: the processes of a run that has several.
    """

    state: str
    environment_steps: int
    learner_steps: int
    episodes: int
    environment_steps_per_second: float
    learner_steps_per_second: float
    wall_seconds: float
    training_return: float | None = None
    episode_return: float | None = None
    episode_returns: tuple[float, ...] = ()
    samples_per_insert: float | None = None
    wanted_samples_per_insert: float | None = None
    bottleneck: str | None = None
    bottleneck_share: float = 0.0
    eta_seconds: float | None = None
    stop: StopLimits = StopLimits()
    agent_metrics: Mapping[str, float] = field(default_factory=dict)
    waiting_for: str | None = None
    roles: tuple[RoleStatus, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, for another process; JSON has no number that is not finite."""
        values: dict[str, Any] = _without_infinities(asdict(self))
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Progress:
        """Return what `to_json` wrote; what was not finite is None, or NaN among numbers."""
        return cls(
            **{
                **values,
                "episode_returns": tuple(map(_number, values["episode_returns"])),
                "agent_metrics": {
                    name: _number(value) for name, value in values["agent_metrics"].items()
                },
                "stop": StopLimits(**values["stop"]),
                "roles": tuple(RoleStatus(**role) for role in values["roles"]),
            }
        )

    @property
    def best_episode_return(self) -> float | None:
        """The highest evaluation so far."""
        return max(self.episode_returns, default=self.episode_return)


def _without_infinities(value: Any) -> Any:
    match value:
        case dict():
            return {key: _without_infinities(item) for key, item in value.items()}
        case list() | tuple():
            return [_without_infinities(item) for item in value]
        case float() if not math.isfinite(value):
            return None
    return value


def _number(value: float | None) -> float:
    return math.nan if value is None else value


@dataclass(frozen=True)
class Summary:
    """How a run ended.

    Attributes:
        state: "Succeeded", "Failed" or "Interrupted".
        reason: one CamelCase word for programs.
        message: the reason in words, for people.
        episode_return: mean of the newest evaluation; None if there was none.
    """

    state: str
    reason: str
    message: str
    episode_return: float | None
    environment_steps: int
    learner_steps: int
    wall_seconds: float
    run_directory: Path

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Summary:
        """Return what `to_json` wrote."""
        return cls(
            state=values["state"],
            reason=values["reason"],
            message=values["message"],
            episode_return=values["episodeReturn"],
            environment_steps=values["environmentSteps"],
            learner_steps=values["learnerSteps"],
            wall_seconds=values["wallSeconds"],
            run_directory=Path(values["runDirectory"]),
        )

    def to_json(self) -> dict[str, str | int | float | None]:
        """Return what programs read: the last object of ``--json``, and summary.json."""
        return {
            "state": self.state,
            "reason": self.reason,
            "message": self.message,
            "episodeReturn": self.episode_return,
            "environmentSteps": self.environment_steps,
            "learnerSteps": self.learner_steps,
            "wallSeconds": round(self.wall_seconds, 3),
            "runDirectory": str(self.run_directory),
        }


def estimate_eta(
    stop: StopLimits,
    *,
    environment_steps: int,
    learner_steps: int,
    wall_seconds: float,
    environment_steps_per_second: float,
    learner_steps_per_second: float,
) -> float | None:
    """Return the seconds until the first step or time condition is met, at the present rates.

    None where no condition says: a return cannot be foreseen, nor a count that stands still.

    >>> estimate_eta(
    ...     StopLimits(environment_steps=10_000, duration_seconds=60.0),
    ...     environment_steps=4_000,
    ...     learner_steps=0,
    ...     wall_seconds=20.0,
    ...     environment_steps_per_second=200.0,
    ...     learner_steps_per_second=0.0,
    ... )
    30.0
    """
    remaining = [
        _seconds_left(limit, reached, rate)
        for limit, reached, rate in (
            (stop.environment_steps, environment_steps, environment_steps_per_second),
            (stop.learner_steps, learner_steps, learner_steps_per_second),
            (stop.duration_seconds, wall_seconds, 1.0),
        )
    ]
    return min((seconds for seconds in remaining if seconds is not None), default=None)


def _seconds_left(limit: float | None, reached: float, rate: float) -> float | None:
    if limit is None:
        return None
    if reached >= limit:
        return 0.0
    return (limit - reached) / rate if rate > 0 else None
