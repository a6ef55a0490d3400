"""More actors give the same learning curve, sooner; and the slower side is named.

    PICTURE=docs/pictures/actors-scaling.png
    .tools/bin/uv run python benchmarks/actors_scaling.py --seeds 5 --picture $PICTURE

Trains DQN on CartPole-v1 as processes over Reverb, with 1, 2 and 4 actors at the same
samples per insert (Hoffman et al. 2020 claim that parallelism gives equivalent agents,
just faster). Its environment takes 2 ms a step, as those that people scale actors for
take time: CartPole's own 0.03 ms leaves nothing to gain beside a learner on two cores.
A run's score is the mean return of all its evaluations, the area under its curve.

Then one side at a time is slowed, and the metrics must say which.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import matplotlib
import numpy as np

import greenroom
from greenroom.observability.displays import Silent
from greenroom.observability.plotting import COLORS
from greenroom.observability.progress import Progress
from greenroom.observability.records import read_metrics
from greenroom.observability.statistics import mean_interval

ACTORS = (1, 2, 4)
STEPS = 30_000
INTERVAL = 1_500
EXAMPLE = Path(__file__).parents[1] / "examples" / "cartpole-dqn.yaml"
# Samples that are drawn ahead of the learner: 256 on their way, and two batches of 64 that
# wait or are asked for. (The server counts them; the queue of inserts that it takes before
# its limiter, of up to 1,000 items, it does not.)
LEAD_SAMPLES = 256 + 2 * 64


class Run(NamedTuple):
    steps: np.ndarray[Any, Any]
    returns: np.ndarray[Any, Any]
    seconds: float
    worst_lead: float
    tolerance: float

    @property
    def score(self) -> float:
        return float(self.returns.mean())


def train(actors: int, seed: int) -> Run:
    experiment = greenroom.load_experiment(
        EXAMPLE,
        [
            f"spec.actors.replicas={actors}",
            f"spec.stop.environmentSteps={STEPS}",
            "spec.stop.episodeReturn=null",
            f"spec.evaluator.interval={INTERVAL}",
            "spec.environment.gymnasium=null",
            "spec.environment.factory=benchmarks.slow_sides:unhurried_cartpole",
        ],
        seed=seed,
    )
    with TemporaryDirectory() as folder:
        directory = Path(folder) / "run"
        greenroom.run(experiment, run_directory=directory, launch="processes")
        rows = read_metrics(directory)
    evaluations = [row for row in rows if row["kind"] == "evaluation"]
    training = [row for row in rows if row["kind"] == "train" and row["samplesPerInsert"]]
    replay = experiment.spec.replay
    assert replay.error_buffer is not None
    # Nothing has left the table yet, so its size is what was inserted.
    leads = [
        (row["samplesPerInsert"] - replay.samples_per_insert)
        * (row["replaySize"] - replay.min_size)
        for row in training
        if row["replaySize"] > replay.min_size
    ]
    return Run(
        np.array([row["environmentSteps"] for row in evaluations]),
        np.array([row["episodeReturn"] for row in evaluations]),
        training[-1]["wallSeconds"] - training[0]["wallSeconds"],
        max(map(abs, leads)),
        replay.error_buffer,
    )


class Newest(Silent):
    """Keeps the newest progress."""

    progress: Progress | None = None

    def update(self, progress: Progress) -> None:
        if progress.bottleneck is not None:
            self.progress = progress


def slowed(*overrides: str) -> Progress:
    experiment = greenroom.load_experiment(
        EXAMPLE, ["spec.replay.minSize=200", "spec.stop.duration=25s", *overrides]
    )
    display = Newest()
    with TemporaryDirectory() as folder:
        greenroom.run(
            experiment, run_directory=Path(folder) / "run", launch="processes", display=display
        )
    assert display.progress is not None, "no side was ever the bottleneck"
    return display.progress


def band(runs: list[Run], at: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return mean, low and high [3, K] over seeds at K numbers of steps."""
    curves = np.stack([np.interp(at, run.steps, run.returns) for run in runs])
    return np.array([mean_interval(column.tolist()) for column in curves.T]).T


def draw(results: dict[int, list[Run]], picture: Path) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9.0, 4.8), layout="constrained")
    at = np.arange(INTERVAL, STEPS + 1, INTERVAL)
    for color, (actors, runs) in zip(COLORS, results.items(), strict=False):
        mean, low, high = band(runs, at)
        seconds = np.median([run.seconds for run in runs])
        label = f"{actors} actor{'s' * (actors > 1)}, {seconds:.0f} s"
        axes.plot(at, mean, color=color, label=label)
        axes.fill_between(at, low, high, color=color, alpha=0.15, linewidth=0)
    seeds = len(next(iter(results.values())))
    axes.set(
        xlabel="environment steps of all actors",
        ylabel="return of an evaluation",
        title=f"DQN on CartPole-v1 over Reverb: mean of {seeds} seeds, 95% interval",
    )
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, dpi=160)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    results: dict[int, list[Run]] = {actors: [] for actors in ACTORS}
    for seed in range(arguments.seeds):
        for actors in ACTORS:
            run = train(actors, seed)
            results[actors].append(run)
            line = {"actors": actors, "seed": seed, "score": run.score, "seconds": run.seconds}
            print(json.dumps(line), file=sys.stderr)
    print(
        "\n| actors | score (95% interval) | seconds | speed-up | farthest off, samples | allowed |"
    )
    print("|---|---|---|---|---|---|")
    alone = np.median([run.seconds for run in results[1]])
    for actors, runs in results.items():
        mean, low, high = mean_interval([run.score for run in runs])
        seconds = np.median([run.seconds for run in runs])
        worst = max(run.worst_lead for run in runs)
        allowed = runs[0].tolerance + LEAD_SAMPLES
        print(
            f"| {actors} | {mean:.0f} ({low:.0f}-{high:.0f}) | {seconds:.0f} | "
            f"{alone / seconds:.2f} | {worst:,.0f} | {allowed:,.0f} |"
        )
    print("\n| slowed | bottleneck | busy |\n|---|---|---|")
    for what, overrides in {
        "environment, 20 ms a step": [
            "spec.environment.gymnasium=null",
            "spec.environment.factory=benchmarks.slow_sides:slow_cartpole",
        ],
        "learner, 50 ms a step": [
            "spec.agent.dqn=null",
            'spec.agent.custom={builder: "benchmarks.slow_sides:SlowDQN", config: {batchSize: 64}}',
        ],
    }.items():
        progress = slowed(*overrides)
        print(f"| {what} | {progress.bottleneck} | {progress.bottleneck_share:.0%} |")
    if arguments.picture is not None:
        draw(results, arguments.picture)


if __name__ == "__main__":
    main()
