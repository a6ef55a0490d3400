"""From the parts of a training to rows of its records and what its display shows."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from greenroom.learning.loop import LearningLoop
from greenroom.observability.displays import Display
from greenroom.observability.progress import Progress, StopLimits, estimate_eta
from greenroom.observability.records import RunRecords
from greenroom.observability.statistics import mean_interval
from greenroom.replay.tables import TableInfo
from greenroom.training.drivers import Driver
from greenroom.training.evaluations import Evaluated
from greenroom.training.stopping import Reached, StopDescription

RATE_WINDOW_SECONDS = 10.0


class Reporter:
    """Writes rows and feeds the display.

    Args:
        learning: whose losses are recorded.
        driver: where episodes, the rate limiter and the bottleneck are read.
        stop: returns the stop conditions, for the time that is left.
        records: where rows go.
        display: what the user watches.
    """

    def __init__(
        self,
        learning: LearningLoop,
        driver: Driver,
        stop: Callable[[], StopDescription],
        records: RunRecords,
        display: Display,
    ) -> None:
        self._learning = learning
        self._driver = driver
        self._stop = stop
        self._records = records
        self._display = display
        self._rates = _Rates()
        self._returns: list[float] = []
        self._agent_metrics: dict[str, float] = {}

    def resume(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take up the evaluations that the rows of a resumed run tell of."""
        self._returns = [row["episodeReturn"] for row in rows if row["kind"] == "evaluation"]

    def training_row(self, reached: Reached) -> None:
        """Write a row of what training did since the last one."""
        steps_per_second, learner_steps_per_second = self._rates.rates(reached)
        info = self._driver.replay_info()
        self._agent_metrics = self._learning.take_metrics()
        self._records.write(
            {
                "kind": "train",
                "environmentSteps": reached.environment_steps,
                "learnerSteps": reached.learner_steps,
                "wallSeconds": reached.seconds,
                "environmentStepsPerSecond": steps_per_second,
                "learnerStepsPerSecond": learner_steps_per_second,
                "episodes": self._driver.episodes.episodes,
                "trainingReturn": self._driver.episodes.mean_return(),
                "replaySize": None if info is None else info.size,
                "samplesPerInsert": _samples_per_insert(info),
                **self._agent_metrics,
            }
        )

    def evaluation_row(self, reached: Reached, ended: Evaluated) -> None:
        """Write an evaluation, and tell the user."""
        evaluation = ended.evaluation
        mean, low, high = mean_interval(evaluation.returns)
        self._returns.append(mean)
        self._records.write(
            {
                "kind": "evaluation",
                "environmentSteps": ended.environment_steps,
                "learnerSteps": ended.learner_steps,
                "wallSeconds": reached.seconds,
                "episodeReturn": mean,
                "episodeReturnLow": low,
                "episodeReturnHigh": high,
                "episodeLength": sum(evaluation.lengths) / len(evaluation.lengths),
            }
        )
        episodes = len(evaluation.returns)
        spread = f" ({low:.4g} to {high:.4g}, {episodes} episodes)" if episodes > 1 else ""
        self.update("Running", reached)
        self._display.event(
            f"evaluated at step {ended.environment_steps:,}: return {mean:.4g}{spread}"
        )

    def saved(self, path: Path) -> None:
        """Tell of a checkpoint."""
        self._display.event(f"checkpoint {path.name}")

    def warn(self, message: str) -> None:
        """Tell of something that the user should look at."""
        self._display.event(message, level="warning")

    def update(self, state: str, reached: Reached, waiting_for: str | None = None) -> None:
        """Show where training is; ``waiting_for`` is what holds it up, for people."""
        self._display.update(self._progress(state, reached, waiting_for))

    def _progress(self, state: str, reached: Reached, waiting_for: str | None) -> Progress:
        steps_per_second, learner_steps_per_second = self._rates.rates(reached)
        info = self._driver.replay_info()
        bottleneck = self._driver.bottleneck()
        stop = self._stop()
        limits = StopLimits(
            stop.environment_steps, stop.learner_steps, stop.episode_return, stop.duration
        )
        return Progress(
            state=state,
            environment_steps=reached.environment_steps,
            learner_steps=reached.learner_steps,
            episodes=self._driver.episodes.episodes,
            training_return=self._driver.episodes.mean_return(),
            episode_return=reached.episode_return,
            episode_returns=tuple(self._returns),
            environment_steps_per_second=steps_per_second,
            learner_steps_per_second=learner_steps_per_second,
            samples_per_insert=_samples_per_insert(info),
            wanted_samples_per_insert=None if info is None else info.samples_per_insert,
            bottleneck=None if bottleneck is None else bottleneck.side,
            bottleneck_share=0.0 if bottleneck is None else bottleneck.share,
            wall_seconds=reached.seconds,
            eta_seconds=estimate_eta(
                limits,
                environment_steps=reached.environment_steps,
                learner_steps=reached.learner_steps,
                wall_seconds=reached.seconds,
                environment_steps_per_second=steps_per_second,
                learner_steps_per_second=learner_steps_per_second,
            ),
            stop=limits,
            agent_metrics=self._agent_metrics,
            waiting_for=waiting_for,
        )


def _samples_per_insert(info: TableInfo | None) -> float | None:
    """Return the samples that each insert beyond the minimum size has seen so far.

    The inserts up to the minimum size pay for no samples.
    """
    if info is None:
        return None
    paying = info.inserts - min(info.inserts, info.min_size)
    return info.samples / paying if paying and info.samples else None


class _Rates:
    """Steps per second over the last seconds."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int, int]] = deque()

    def rates(self, reached: Reached) -> tuple[float, float]:
        """Return environment and learner steps per second."""
        now = time.monotonic()
        self._points.append((now, reached.environment_steps, reached.learner_steps))
        while now - self._points[0][0] > RATE_WINDOW_SECONDS:
            self._points.popleft()
        then, environment_steps, learner_steps = self._points[0]
        if now == then:
            return 0.0, 0.0
        return (
            (reached.environment_steps - environment_steps) / (now - then),
            (reached.learner_steps - learner_steps) / (now - then),
        )
