"""Displays that write line by line: for people without a terminal, and for programs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import TextIO

from greenroom.observability.files import Scalar, plain_row
from greenroom.observability.formatting import (
    format_count,
    format_duration,
    format_number,
    format_rate,
)
from greenroom.observability.progress import Header, Progress, Summary

Clock = Callable[[], float]


class PlainLines:
    """One aligned line every few seconds, and one for each event, such as an evaluation.

    Args:
        stream: where they go.
        interval_seconds: between lines of progress.
        clock: seconds, ever growing.
    """

    def __init__(
        self, stream: TextIO, interval_seconds: float = 10.0, clock: Clock = time.monotonic
    ) -> None:
        self._stream = stream
        self._interval = interval_seconds
        self._clock = clock
        self._next = -float("inf")

    def start(self, header: Header) -> None:
        """Say what runs."""
        self._print(
            f"{header.experiment}: {header.agent} on {header.environment}, "
            f"results in {header.run_directory}"
        )

    def update(self, progress: Progress) -> None:
        """Print where the run is, if it is time to."""
        now = self._clock()
        if now >= self._next:
            self._next = now + self._interval
            self._print(progress_line(progress))

    def event(self, message: str, level: str = "info") -> None:
        """Print a line about something that happened."""
        self._print(message if level == "info" else f"{level}: {message}")

    def finish(self, summary: Summary) -> None:
        """Print how the run ended."""
        self._print(
            f"{summary.state}: {summary.message}; return {format_number(summary.episode_return)} "
            f"after {format_count(summary.environment_steps)} environment steps and "
            f"{format_count(summary.learner_steps)} learner steps in "
            f"{format_duration(summary.wall_seconds)}. Results: {summary.run_directory}"
        )

    def close(self) -> None:
        """Nothing is held open."""

    def _print(self, line: str) -> None:
        print_line(self._stream, line)


def print_line(stream: TextIO, line: str) -> None:
    """Print a line at once; where nobody reads any more, the run goes on in silence."""
    try:
        print(line, file=stream, flush=True)
    except BrokenPipeError:
        # So that neither the next line nor Python's own flush at the end fails again.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def progress_line(progress: Progress) -> str:
    """Return one line; its columns stay in place from line to line."""
    ratio = progress.samples_per_insert
    columns = [
        f"{format_duration(progress.wall_seconds):>8}",
        f"steps {format_count(progress.environment_steps):>11}",
        f"return {format_number(progress.episode_return):>8}",
        f"training {format_number(progress.training_return):>8}",
        f"learned {format_count(progress.learner_steps):>11}",
        f"{format_rate(progress.environment_steps_per_second):>7} steps/s",
        f"{format_number(ratio):>6} samples/insert",
    ]
    if progress.eta_seconds is not None:
        columns.append(f"{format_duration(progress.eta_seconds)} left at most")
    return "  ".join(columns)


class JsonLines:
    """One JSON object a line; the last is the summary, the only one without a "kind".

    ``{"kind": "start"}`` says what runs, ``"progress"`` where it is, every
    ``interval_seconds``, and ``"event"`` what happened. A number that is not finite is null.
    """

    def __init__(
        self, stream: TextIO, interval_seconds: float = 1.0, clock: Clock = time.monotonic
    ) -> None:
        self._stream = stream
        self._interval = interval_seconds
        self._clock = clock
        self._next = -float("inf")

    def start(self, header: Header) -> None:
        """Write what runs."""
        self._write(
            {
                "kind": "start",
                "experiment": header.experiment,
                "agent": header.agent,
                "environment": header.environment,
                "runDirectory": str(header.run_directory),
            }
        )

    def update(self, progress: Progress) -> None:
        """Write where the run is, if it is time to."""
        now = self._clock()
        if now >= self._next:
            self._next = now + self._interval
            self._write({"kind": "progress", **progress_fields(progress)})

    def event(self, message: str, level: str = "info") -> None:
        """Write what happened."""
        self._write({"kind": "event", "level": level, "message": message})

    def finish(self, summary: Summary) -> None:
        """Write how the run ended."""
        self._write(summary.to_json())

    def close(self) -> None:
        """Nothing is held open."""

    def _write(self, values: Mapping[str, Scalar]) -> None:
        print_line(self._stream, json.dumps(plain_row(values), allow_nan=False))


def progress_fields(progress: Progress) -> dict[str, Scalar]:
    """Return a progress flat, under the names that the rows of a run have."""
    return {
        **progress.agent_metrics,
        "state": progress.state,
        "environmentSteps": progress.environment_steps,
        "learnerSteps": progress.learner_steps,
        "wallSeconds": round(progress.wall_seconds, 3),
        "episodes": progress.episodes,
        "episodeReturn": progress.episode_return,
        "bestEpisodeReturn": progress.best_episode_return,
        "trainingReturn": progress.training_return,
        "environmentStepsPerSecond": progress.environment_steps_per_second,
        "learnerStepsPerSecond": progress.learner_steps_per_second,
        "samplesPerInsert": progress.samples_per_insert,
        "bottleneck": progress.bottleneck,
        "bottleneckShare": progress.bottleneck_share,
        "etaSeconds": progress.eta_seconds,
    }
