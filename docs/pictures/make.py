"""The pictures of the README, made by real runs.

    python docs/pictures/make.py

Trains examples/cartpole-dqn.yaml with three seeds (a few minutes), draws their learning
curves as ``greenroom plot`` does, and saves the live panel as it stood at the middle of
the first run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import greenroom
from greenroom.observability.displays import Header, Level, Summary
from greenroom.observability.formatting import format_duration
from greenroom.observability.panel import save_panel_svg
from greenroom.observability.plotting import plot_runs
from greenroom.observability.progress import Progress

EVENTS = 4
HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "cartpole-dqn.yaml"


class Remembering:
    """A display that remembers all that it was to show."""

    def __init__(self) -> None:
        self.moments: list[tuple[Progress, int]] = []
        self.events: list[tuple[str, str]] = []

    def start(self, header: Header) -> None:
        """Remember what is run."""
        self.header = replace(header, run_directory=Path("runs") / header.run_directory.name)

    def update(self, progress: Progress) -> None:
        """Remember where the run is."""
        self.moments.append((progress, len(self.events)))

    def event(self, message: str, level: Level = "info") -> None:
        """Remember what happened."""
        seconds = self.moments[-1][0].wall_seconds if self.moments else 0.0
        self.events.append((format_duration(seconds), message))

    def finish(self, summary: Summary) -> None:
        """Say how it ended."""
        print(summary.message)

    def close(self) -> None:
        """Nothing is open."""


def main() -> None:
    """Make both pictures."""
    with TemporaryDirectory() as folder:
        displays = []
        for seed in (0, 1, 2):
            display = Remembering()
            experiment = greenroom.load_experiment(EXAMPLE, seed=seed)
            directory = Path(folder) / f"cartpole-dqn-seed-{seed}"
            greenroom.run(experiment, run_directory=directory, display=display)
            displays.append(display)
        plot_runs(sorted(Path(folder).iterdir()), HERE / "learning-curve.png")
    first = displays[0]
    progress, events = first.moments[len(first.moments) * 2 // 3]
    save_panel_svg(HERE / "live-panel.svg", first.header, progress, first.events[:events][-EVENTS:])


if __name__ == "__main__":
    main()
