"""From the parts of a training to rows of its records and what its display shows."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from greenroom.acting.evaluation import Evaluation
from greenroom.launch.assembly import Parts
from greenroom.launch.drivers import Driver
from greenroom.launch.stopping import Reached, StopDescription
from greenroom.observability.displays import Display
from greenroom.observability.progress import Progress, StopLimits, estimate_eta
from greenroom.observability.records import RunRecords
from greenroom.observability.statistics import mean_interval
from greenroom.replay.tables import TableInfo

RATE_WINDOW_SECONDS = 10.0


class Reporter:
    """Writes rows and feeds the display.

    Args:
        parts: where counts, losses and the rate limiter are read.
        driver: whose time shares tell which side is the bottleneck.
        stop: the stop conditions, for the time that is left.
        records: where rows go.
        display: what the user watches.
    """

    def __init__(
        self,
        parts: Parts,
        driver: Driver,
        stop: StopDescription,
        records: RunRecords,
        display: Display,
    ) -> None:
        self._parts = parts
        self._driver = driver
        self._stop = StopLimits(
            stop.environment_steps, stop.learner_steps, stop.episode_return, stop.duration
        )
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
        info = next(iter(self._parts.replay.info().values()))
        self._agent_metrics = self._parts.learning.take_metrics()
        self._records.write(
            {
                "kind": "train",
                "environmentSteps": reached.environment_steps,
                "learnerSteps": reached.learner_steps,
                "wallSeconds": reached.seconds,
                "environmentStepsPerSecond": steps_per_second,
                "learnerStepsPerSecond": learner_steps_per_second,
                "episodes": self._parts.actor.episodes.episodes,
                "trainingReturn": self._parts.actor.episodes.mean_return(),
                "replaySize": info.size,
                "samplesPerInsert": _samples_per_insert(info),
                **self._agent_metrics,
            }
        )

    def evaluation_row(self, reached: Reached, evaluation: Evaluation) -> None:
        """Write an evaluation, and tell the user."""
        mean, low, high = mean_interval(evaluation.returns)
        self._returns.append(mean)
        self._records.write(
            {
                "kind": "evaluation",
                "environmentSteps": reached.environment_steps,
                "learnerSteps": reached.learner_steps,
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
            f"evaluated at step {reached.environment_steps:,}: return {mean:.4g}{spread}"
        )

    def saved(self, path: Path) -> None:
        """Tell of a checkpoint."""
        self._display.event(f"checkpoint {path.name}")

    def warn(self, message: str) -> None:
        """Tell of something that the user should look at."""
        self._display.event(message, level="warning")

    def update(self, state: str, reached: Reached) -> None:
        """Show where training is."""
        self._display.update(self._progress(state, reached))

    def _progress(self, state: str, reached: Reached) -> Progress:
        steps_per_second, learner_steps_per_second = self._rates.rates(reached)
        info = next(iter(self._parts.replay.info().values()))
        bottleneck, share = self._bottleneck()
        return Progress(
            state=state,
            environment_steps=reached.environment_steps,
            learner_steps=reached.learner_steps,
            episodes=self._parts.actor.episodes.episodes,
            training_return=self._parts.actor.episodes.mean_return(),
            episode_return=reached.episode_return,
            episode_returns=tuple(self._returns),
            environment_steps_per_second=steps_per_second,
            learner_steps_per_second=learner_steps_per_second,
            samples_per_insert=_samples_per_insert(info),
            wanted_samples_per_insert=info.samples_per_insert,
            bottleneck=bottleneck,
            bottleneck_share=share,
            wall_seconds=reached.seconds,
            eta_seconds=estimate_eta(
                self._stop,
                environment_steps=reached.environment_steps,
                learner_steps=reached.learner_steps,
                wall_seconds=reached.seconds,
                environment_steps_per_second=steps_per_second,
                learner_steps_per_second=learner_steps_per_second,
            ),
            stop=self._stop,
            agent_metrics=self._agent_metrics,
        )

    def _bottleneck(self) -> tuple[str | None, float]:
        """Return the side that worked longer, and its share of both sides' time."""
        acting, learning = self._driver.acting_seconds, self._driver.learning_seconds
        if not acting + learning:
            return None, 0.0
        slower = "actor" if acting > learning else "learner"
        return slower, max(acting, learning) / (acting + learning)


def _samples_per_insert(info: TableInfo) -> float | None:
    """Return the samples that each insert beyond the minimum size has seen so far.

    The inserts up to the minimum size pay for no samples.
    """
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
