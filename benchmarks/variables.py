"""What handing out parameters costs the learner, and how old they are where they arrive.

    .tools/bin/uv run python benchmarks/variables.py

One process publishes a model of 10 MB every second through `LearnerService`; others hold
1, 16 or 64 subscribers (`PolledVariables`, 16 to a process, each with a connection and a
thread of its own), which ask every 0.1 s as actors do. All share this machine's cores.

- learner CPU: whole process, per version: publishing, serializing, sending, and answering
  polls that find nothing newer. The row without subscribers is publishing alone.
- sent: payload that arrived, per version.
- age: now less the moment of publication of what a subscriber has, looked at every 20 ms.
  With nothing to wait for it is spread evenly from 0 to the second between versions.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch

from greenroom.variables.journal import CountsJournal
from greenroom.variables.polling import PolledVariables
from greenroom.variables.remote import LearnerClient
from greenroom.variables.service import LearnerService

TOKEN = "benchmark"
MODEL_FLOATS = 2_500_000
LAYERS = 20
SUBSCRIBERS = (0, 1, 16, 64)
SUBSCRIBERS_PER_PROCESS = 16
PUBLISH_SECONDS = 1.0
POLL_SECONDS = 0.1
LOOK_SECONDS = 0.02
START_SECONDS = 60.0


def model() -> dict[str, torch.Tensor]:
    layers = torch.randn(LAYERS, MODEL_FLOATS // LAYERS)
    return {f"layer-{index}": layer for index, layer in enumerate(layers)}


class Subscriber:
    """Looks at what it has until it is told to end."""

    def __init__(self, client: LearnerClient) -> None:
        self.variables = PolledVariables(client, POLL_SECONDS)
        self.first = self.variables.wait_first(START_SECONDS).version
        self.ages: list[float] = []
        self.versions: set[int] = set()

    def look(self) -> None:
        newest = self.variables.get(self.first)
        if newest is not None:  # the first one was there before anything was measured
            self.ages.append(time.monotonic() - float(newest.values["published"]))
            self.versions.add(newest.version)


def subscribe(address: str, count: int) -> None:
    """Hold subscribers: say when they have variables; then look from one line to the next."""
    torch.set_num_threads(1)
    with LearnerClient(address, TOKEN) as client:
        subscribers = [Subscriber(client) for _ in range(count)]
        print("ready", flush=True)
        sys.stdin.readline()
        over = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.readline(), over.set())).start()
        while not over.wait(LOOK_SECONDS):
            for subscriber in subscribers:
                subscriber.look()
        for subscriber in subscribers:
            subscriber.variables.close()
    ages = [age for subscriber in subscribers for age in subscriber.ages]
    received = sum(len(subscriber.versions) for subscriber in subscribers)
    print(json.dumps({"ages": ages, "received": received}), flush=True)


def publish(service: LearnerService, versions: range) -> float:
    """Publish them, one a second; return the CPU seconds of this process meanwhile."""
    values = model()
    began, due = time.process_time(), time.monotonic()
    for version in versions:
        values["published"] = torch.tensor(time.monotonic(), dtype=torch.float64)
        service.publish(version, values)
        due += PUBLISH_SECONDS
        time.sleep(max(0.0, due - time.monotonic()))
    return time.process_time() - began


def measure(service: LearnerService, subscribers: int, versions: range) -> str:
    """Return a row of the table."""
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                __file__,
                "--subscribe",
                f"127.0.0.1:{service.port}",
                str(min(SUBSCRIBERS_PER_PROCESS, subscribers - first)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for first in range(0, subscribers, SUBSCRIBERS_PER_PROCESS)
    ]
    assert all(process.stdout.readline() == "ready\n" for process in processes)  # type: ignore[union-attr]
    for process in processes:
        process.stdin.write("\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
    cpu = publish(service, versions)
    results = [json.loads(process.communicate("\n")[0]) for process in processes]
    megabytes = sum(result["received"] for result in results) * MODEL_FLOATS * 4 / 1e6
    row = f"| {subscribers} | {1e3 * cpu / len(versions):,.0f} | {megabytes / len(versions):,.0f} |"
    if not results:
        return f"{row} - | - | - |"
    ages = np.concatenate([result["ages"] for result in results])
    arrived = megabytes * 1e6 / (MODEL_FLOATS * 4) / (subscribers * len(versions))
    p50, p99 = np.percentile(ages, [50, 99])
    return f"{row} {100 * arrived:.0f} % | {p50:.2f} | {p99:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--versions", type=int, default=8, help="of each row, one a second")
    parser.add_argument("--subscribe", nargs=2, metavar=("ADDRESS", "COUNT"), help="(internal)")
    arguments = parser.parse_args()
    if arguments.subscribe:
        subscribe(arguments.subscribe[0], int(arguments.subscribe[1]))
        return
    torch.set_num_threads(1)
    print(
        "| subscribers | learner CPU, ms a version | sent, MB a version | versions that arrived "
        "| age p50, s | age p99, s |"
    )
    print("|---|---|---|---|---|---|")
    with (
        tempfile.TemporaryDirectory() as folder,
        CountsJournal(Path(folder) / "counts.jsonl") as journal,
    ):
        service = LearnerService(
            "127.0.0.1", 0, TOKEN, journal, unroll_steps=1, environment_steps=None
        )
        first = 0
        for subscribers in SUBSCRIBERS:
            publish(service, range(first, first + 1))
            versions = range(first + 1, first + 1 + arguments.versions)
            print(measure(service, subscribers, versions), flush=True)
            first = versions.stop
        service.close()


if __name__ == "__main__":
    main()
