"""DQN on CartPole-v1: Greenroom beside Stable-Baselines3 and two ceilings, in one run.

    .tools/bin/uv run --group benchmarks python benchmarks/dqn_cartpole.py --repetitions 3

The contestants take turns, each in a process of its own with another seed per
repetition; the table gives medians (minimum-maximum), then ratios of medians. Same
network, optimizer, batch, replay ratio and exploration for all: benchmarks/contestants.py.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from contestants import CONTESTANTS

COLUMNS = {
    "environmentStepsPerSecond": ("env steps/s", "{:,.0f}"),
    "updatesPerSecond": ("updates/s", "{:,.0f}"),
    "secondsToReturn": ("seconds to 475", "{:.1f}"),
    "stepsToReturn": ("steps to 475", "{:,.0f}"),
    "peakMiB": ("peak MiB", "{:,.0f}"),
    "importSeconds": ("import s", "{:.1f}"),
    "firstStepSeconds": ("first step s", "{:.1f}"),
}
TIMEOUT_SECONDS = 600

Figures = dict[str, float | None]


def measure(contestant: str, seed: int) -> Figures:
    program = str(Path(__file__).with_name("contestants.py"))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", program, contestant, str(seed)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{contestant} failed:\n{done.stderr}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def cell(values: list[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    text = form.format(statistics.median(known))
    if len(known) > 1:
        text += f" ({form.format(min(known))}-{form.format(max(known))})"
    return text if len(known) == len(values) else f"{text}, {len(known)} of {len(values)}"


def print_table(results: dict[str, list[Figures]]) -> None:
    print("\n| | " + " | ".join(title for title, _ in COLUMNS.values()) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for contestant, runs in results.items():
        cells = [cell([run[key] for run in runs], form) for key, (_, form) in COLUMNS.items()]
        print(f"| {contestant} | " + " | ".join(cells) + " |")


def print_ratios(results: dict[str, list[Figures]]) -> None:
    def median(contestant: str, key: str) -> float:
        return statistics.median(run[key] or float("nan") for run in results[contestant])

    def ratio(ours: str, peer: str, key: str, what: str) -> None:
        value = median(ours, key) / median(peer, key)
        print(f"- {ours} / {peer}, {what}: {value:.2f}")

    print()
    steps, peer = "environmentStepsPerSecond", "Stable-Baselines3"
    for ours in ("Greenroom, lock-step", "Greenroom, overlapped"):
        ratio(ours, peer, steps, "env steps/s")
        ratio(ours, "bare loop (ceiling)", steps, "env steps/s")
        ratio(ours, "updates only (ceiling)", "updatesPerSecond", "updates/s")
        ratio(ours, peer, "peakMiB", "peak memory")
    ratio("Greenroom, processes", "Greenroom, lock-step", steps, "env steps/s")
    ratio("Greenroom, processes", "Greenroom, overlapped", steps, "env steps/s")
    ratio("Greenroom, processes", peer, steps, "env steps/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=CONTESTANTS, help="without ratios")
    arguments = parser.parse_args()
    wanted = arguments.only or list(CONTESTANTS)
    results: dict[str, list[Figures]] = {contestant: [] for contestant in wanted}
    for seed in range(arguments.repetitions):
        for contestant in wanted:
            results[contestant].append(measure(contestant, seed))
            print(f"{contestant}, seed {seed}: {results[contestant][-1]}", file=sys.stderr)
    print_table(results)
    if not arguments.only:
        print_ratios(results)


if __name__ == "__main__":
    main()
