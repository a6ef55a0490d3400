"""A run as displays are told of it."""

from __future__ import annotations

from pathlib import Path

from greenroom.observability.displays import Header, Summary
from greenroom.observability.panel import Event
from greenroom.observability.progress import Progress, StopLimits

HEADER = Header("cartpole", "dqn", "CartPole-v1", Path("runs/cartpole-1"))
PROGRESS = Progress(
    state="Running",
    environment_steps=42_512,
    learner_steps=21_120,
    episodes=612,
    environment_steps_per_second=2_134.2,
    learner_steps_per_second=1_067.0,
    wall_seconds=42.3,
    training_return=201.34,
    episode_return=312.4,
    episode_returns=(9.4, 80.0, 160.0, 421.0, 312.4),
    samples_per_insert=31.87,
    wanted_samples_per_insert=32.0,
    bottleneck="learner",
    bottleneck_share=0.72,
    eta_seconds=74.0,
    stop=StopLimits(environment_steps=200_000, episode_return=475.0, duration_seconds=600.0),
    agent_metrics={"epsilon": 0.04},
)
EARLY = Progress(
    state="Running",
    environment_steps=0,
    learner_steps=0,
    episodes=0,
    environment_steps_per_second=0.0,
    learner_steps_per_second=0.0,
    wall_seconds=0.0,
)
SUMMARY = Summary(
    "Succeeded",
    "EpisodeReturnReached",
    "an evaluation returned 480 of the wanted 475",
    480.0,
    50_000,
    25_000,
    61.0,
    Path("runs/cartpole-1"),
)
EVENTS: list[Event] = [("0:42", "evaluated at step 42,500: return 312.4 (280.1 to 331.9)")]


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now
