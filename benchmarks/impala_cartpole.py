"""IMPALA on CartPole-v1: Greenroom beside Sample Factory's APPO and Stable-Baselines3's PPO.

    uv venv /tmp/sf --python 3.11
    uv pip install --python /tmp/sf/bin/python sample-factory==2.1.1
    .tools/bin/uv run --group benchmarks python benchmarks/impala_cartpole.py \
        --sample-factory /tmp/sf/bin/python

Sample Factory needs older packages than ours, so it runs on an interpreter of its own; it is
left out where none is given.

The contestants take turns, each in a process of its own with another seed per repetition,
and train twice: for a fixed time without evaluation, which gives speed and memory; then until
10 greedy episodes return 475 on average. The table gives medians (minimum-maximum), then
ratios of medians. Who trains with what: benchmarks/impala_contestants.py and
benchmarks/impala_sample_factory.py.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryFile

import psutil
from dqn_cartpole import Figures, cell

COLUMNS = {
    "environmentStepsPerSecond": ("env steps/s", "{:,.0f}"),
    "updatesPerSecond": ("updates/s", "{:,.0f}"),
    "policyLag": ("policy lag, updates", "{:.1f}"),
    "secondsToReturn": ("seconds to 475", "{:.1f}"),
    "stepsToReturn": ("steps to 475", "{:,.0f}"),
    "startSeconds": ("start s", "{:.1f}"),
    "peakMiB": ("peak MiB", "{:,.0f}"),
}
# Sample Factory's own: the mean of its last 100 training episodes.
REPORTED = "secondsToReportedReturn"
# What the run that trains until the return adds to the one that trains for a fixed time.
OF_THE_RETURN = ("policyLag", "secondsToReturn", "stepsToReturn", REPORTED)

LOCKSTEP, PROCESSES = "Greenroom, lock-step", "Greenroom, processes"
PPO, APPO = "Stable-Baselines3 PPO", "Sample Factory APPO"
CONTESTANTS = {LOCKSTEP: "lockstep", PROCESSES: "processes", PPO: "ppo", APPO: "appo"}

TIMEOUT_SECONDS = 300
MEMORY_PERIOD_SECONDS = 0.2


def measure(contestant: str, interpreter: str, seed: int, goal: str) -> Figures:
    """Return the figures of one training; ``goal`` is "throughput" or "return"."""
    name = "impala_sample_factory.py" if contestant == APPO else "impala_contestants.py"
    program = str(Path(__file__).with_name(name))
    with TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [interpreter, "-W", "ignore", program, CONTESTANTS[contestant], str(seed), goal],
            stdout=output,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        try:
            peak = watch(process)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            sys.exit(f"{contestant}, {goal}: exit status {process.returncode}\n{errors.read()}")
        figures: Figures = json.loads(output.read().splitlines()[-1])
    return {**figures, "peakMiB": peak}


def watch(process: subprocess.Popen[str]) -> float:
    """Wait for a contestant to end, and return the peak of its processes' memory in MiB."""
    peak, deadline = 0.0, time.monotonic() + TIMEOUT_SECONDS
    while process.poll() is None:
        if time.monotonic() > deadline:
            sys.exit(f"{process.args!r} did not end. Got: {TIMEOUT_SECONDS} seconds")
        peak = max(peak, family_mib(process.pid))
        time.sleep(MEMORY_PERIOD_SECONDS)
    return peak


def family_mib(pid: int) -> float:
    """Return the sum of what each living process held at most; shared pages count in each."""
    total = 0.0
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for member in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{member.pid}/status").read_text().splitlines():
                    if line.startswith("VmHWM:"):
                        total += int(line.split()[1]) / 1024
    return total


def print_table(results: dict[str, list[Figures]]) -> None:
    print("\n| | " + " | ".join(title for title, _ in COLUMNS.values()) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for contestant, runs in results.items():
        cells = [cell([run[key] for run in runs], form) for key, (_, form) in COLUMNS.items()]
        print(f"| {contestant} | " + " | ".join(cells) + " |")
    if APPO in results:
        reported = cell([run[REPORTED] for run in results[APPO]], "{:.1f}")
        print(f"\n{APPO}, seconds to 475 by the mean of its last 100 training episodes: {reported}")


def print_ratios(results: dict[str, list[Figures]]) -> None:
    def median(contestant: str, key: str) -> float:
        # A run that did not reach the return took longer than any that did.
        values = [run[key] for run in results[contestant]]
        return statistics.median(math.inf if value is None else value for value in values)

    def ratio(one: str, other: str, key: str) -> None:
        if one in results and other in results:
            values = median(one, key), median(other, key)
            text = f"{values[0] / values[1]:.2f}" if max(values) < math.inf else "-"
            print(f"- {one} / {other}, {COLUMNS[key][0]}: {text}")

    print()
    for peer in (APPO, PPO, LOCKSTEP):
        ratio(PROCESSES, peer, "environmentStepsPerSecond")
        ratio(PROCESSES, peer, "secondsToReturn")
    ratio(PROCESSES, LOCKSTEP, "stepsToReturn")
    ratio(PROCESSES, APPO, "peakMiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=CONTESTANTS)
    parser.add_argument(
        "--sample-factory", metavar="PYTHON", help="an interpreter that has sample-factory 2.1.1"
    )
    arguments = parser.parse_args()
    wanted = arguments.only or list(CONTESTANTS)
    if APPO in wanted and not arguments.sample_factory:
        print(f"{APPO} is left out: --sample-factory names no interpreter", file=sys.stderr)
        wanted.remove(APPO)
    results: dict[str, list[Figures]] = {contestant: [] for contestant in wanted}
    for seed in range(arguments.repetitions):
        for contestant in wanted:
            interpreter = arguments.sample_factory if contestant == APPO else sys.executable
            figures = measure(contestant, interpreter, seed, "throughput")
            to_return = measure(contestant, interpreter, seed, "return")
            figures |= {key: to_return.get(key) for key in OF_THE_RETURN}
            results[contestant].append(figures)
            print(f"{contestant}, seed {seed}: {figures}", file=sys.stderr)
    print_table(results)
    print_ratios(results)


if __name__ == "__main__":
    main()
