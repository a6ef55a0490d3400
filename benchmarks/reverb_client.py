"""Our Reverb client beside the official one, against the same kind of server, in one run.

    .tools/bin/uv run python benchmarks/reverb_client.py --repetitions 3

For each kind of row a new server (in a process of its own, as always) and a new client
process per contestant and repetition; contestants take turns. A client writes rows
eight at a time, as eight environments would, with at most 256 unconfirmed, then samples
batches of 256, then writes one row at a time and waits until it is confirmed. Both
ask for two batches ahead. The official client is the TrajectoryWriter with one chunk for
a row (for unrolls: one chunk of 20 steps), and the TrajectoryDataset, batched. Rows share
nothing here; an official writer could let two transitions in a row share a frame.

The tables give medians; CPU is the client's own, over all its threads. The first table is
of importing the client, alone in a process.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from greenroom.replay.tables import Table

SECONDS = 2.0
TOGETHER = 8
BATCH = 256
AHEAD = 2 * BATCH
MOST_PENDING = 256
ROUND_TRIPS = 200
TIMEOUT_SECONDS = 120

Row = dict[str, np.ndarray[Any, Any]]
Figures = dict[str, float]


# --- rows -----------------------------------------------------------------------------------


def steps(observation: np.ndarray[Any, Any]) -> Row:
    count = len(observation)
    return {
        "action": np.arange(count) % 4,
        "discount": np.full(count, 0.99, np.float32),
        "next_observation": observation[::-1].copy(),
        "observation": observation,
        "reward": np.ones(count, np.float32),
    }


def four_floats(generator: np.random.Generator) -> Row:
    return steps(generator.random((TOGETHER, 4), np.float32))


def compressible_frames(generator: np.random.Generator) -> Row:
    """Grey, with a few moving rectangles: snappy makes about a tenth of them."""
    frames = np.full((TOGETHER, 84, 84, 4), 87, np.uint8)
    for frame in frames:
        for top, left, grey in generator.integers(0, 70, (12, 3)):
            frame[top : top + 6, left : left + 9] = grey
    return steps(frames)


def random_frames(generator: np.random.Generator) -> Row:
    return steps(generator.integers(0, 256, (TOGETHER, 84, 84, 4), np.uint8))


def unrolls(generator: np.random.Generator) -> Row:
    shape = (TOGETHER, 20)
    return {
        "action": generator.integers(0, 2, shape),
        "discount": np.full(shape, 0.99, np.float32),
        "log_probability": generator.random(shape, np.float32),
        "observation": generator.random((*shape, 4), np.float32),
        "reward": np.ones(shape, np.float32),
    }


ROWS: dict[str, Callable[[np.random.Generator], Row]] = {
    "4 floats": four_floats,
    "frames, compressible": compressible_frames,
    "frames, random": random_frames,
    "unrolls of 20": unrolls,
}


def make_table(kind: str) -> Table:
    from greenroom.replay.tables import Fifo, RateLimiter, Table, Uniform
    from greenroom.specs import ArraySpec

    rows = ROWS[kind](np.random.default_rng(0))
    return Table(
        name="rows",
        sampler=Uniform(),
        remover=Fifo(),
        limiter=RateLimiter.min_size_only(1),
        max_size=4_000,
        signature={name: ArraySpec(leaf.shape[1:], leaf.dtype) for name, leaf in rows.items()},
    )


# --- contestants ----------------------------------------------------------------------------


class Greenroom:
    def __init__(self, port: int, kind: str) -> None:
        from greenroom.replay.reverb_client import ReverbReplay

        table = make_table(kind)
        replay = ReverbReplay(f"127.0.0.1:{port}", [table], prefetch=AHEAD)
        self._writer, self._sampler = replay.writer(), replay.sampler("rows")

    def write(self, rows: Row, most_pending: int) -> None:
        self._writer.insert("rows", rows, np.ones(len(rows["action"])))
        self._writer.flush(60.0, most_pending)

    def batches(self) -> Iterator[Any]:
        while True:
            yield self._sampler.sample(BATCH, 60.0).data


class Reverb:
    def __init__(self, port: int, kind: str) -> None:
        import os

        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        import reverb

        self._address = f"127.0.0.1:{port}"
        self._unrolls = kind == "unrolls of 20"
        self._length = 20 if self._unrolls else 1
        client = reverb.Client(self._address)
        self._writer = client.trajectory_writer(num_keep_alive_refs=self._length)
        for name in ROWS[kind](np.random.default_rng(0)):
            self._writer.configure(
                (name,), num_keep_alive_refs=self._length, max_chunk_length=self._length
            )

    def write(self, rows: Row, most_pending: int) -> None:
        writer = self._writer
        for index in range(len(rows["action"])):
            if self._unrolls:
                for step in range(20):
                    writer.append({name: leaf[index, step] for name, leaf in rows.items()})
                item = {name: writer.history[name][-20:] for name in rows}
            else:
                writer.append({name: leaf[index] for name, leaf in rows.items()})
                item = {name: writer.history[name][-1] for name in rows}
            writer.create_item("rows", 1.0, item)
        writer.flush(most_pending, timeout_ms=60_000)

    def batches(self) -> Iterator[Any]:
        import reverb

        dataset = reverb.TrajectoryDataset.from_table_signature(
            self._address, "rows", max_in_flight_samples_per_worker=AHEAD
        )
        for sample in dataset.batch(BATCH, drop_remainder=True).as_numpy_iterator():
            yield sample.data


CONTESTANTS: dict[str, type[Greenroom | Reverb]] = {"greenroom": Greenroom, "reverb": Reverb}
MODULES = {"greenroom": "greenroom.replay.reverb_client", "reverb": "reverb"}


def measure(contestant: str, kind: str, port: int) -> Figures:
    """Run in a process of the contestant's own."""
    client = CONTESTANTS[contestant](port, kind)
    rows = ROWS[kind](np.random.default_rng(0))
    client.write(rows, 0)
    figures = timed("insert", lambda: client.write(rows, MOST_PENDING), TOGETHER)
    client.write(rows, 0)

    batches = client.batches()
    next(batches)
    latencies: list[float] = []

    def sample() -> None:
        began = time.perf_counter()
        batch = next(batches)
        latencies.append(time.perf_counter() - began)
        assert batch["observation"].shape[0] == BATCH

    figures |= timed("sample", sample, BATCH)
    figures["batch p99 ms"] = float(np.percentile(latencies, 99)) * 1000

    one = {name: leaf[:1] for name, leaf in rows.items()}
    latencies.clear()
    for _ in range(ROUND_TRIPS):
        began = time.perf_counter()
        client.write(one, 0)
        latencies.append(time.perf_counter() - began)
    figures["one insert p99 ms"] = float(np.percentile(latencies, 99)) * 1000
    return figures


def timed(what: str, call: Callable[[], None], items: int) -> Figures:
    count = 0
    began, cpu = time.perf_counter(), time.process_time()
    while (elapsed := time.perf_counter() - began) < SECONDS:
        call()
        count += items
    cpu = time.process_time() - cpu
    return {f"{what}s/s": count / elapsed, f"{what} CPU s/million": cpu / count * 1e6}


# --- the run --------------------------------------------------------------------------------


@contextmanager
def server(kind: str) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__, "--serve", kind, "--port", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "ready\n"
        yield port
        process.stdin.close()


def serve(kind: str, port: int) -> None:
    from greenroom.replay.server import ReplayServer

    with ReplayServer([make_table(kind)], port):
        print("ready", flush=True)
        sys.stdin.read()


def run(contestant: str, kind: str) -> Figures:
    with server(kind) as port:
        arguments = ["--contestant", contestant, "--kind", kind, "--port", str(port)]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", __file__, *arguments],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    if done.returncode:
        sys.exit(f"{contestant}, {kind} failed:\n{done.stderr}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def import_alone(contestant: str, _: str) -> Figures:
    program = (
        "import time; began = time.perf_counter(); "
        f"import {MODULES[contestant]}; import_s = time.perf_counter() - began; "
        "import resource; kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; "
        "print(import_s, kib / 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    )
    seconds, mebibytes = map(float, done.stdout.split())
    return {"import s": seconds, "MiB": mebibytes}


def compare(title: str, measure: Callable[[str, str], Figures], repetitions: int) -> None:
    results: dict[str, list[Figures]] = {name: [] for name in CONTESTANTS}
    for _ in range(repetitions):
        for name, runs in results.items():
            runs.append(measure(name, title))
    columns = list(results["greenroom"][0])
    print(f"\n| {title} | {' | '.join(columns)} |")
    print("|---" * (len(columns) + 1) + "|")
    medians = {
        name: [statistics.median(figures[column] for figures in runs) for column in columns]
        for name, runs in results.items()
    }
    for name, values in medians.items():
        print(f"| {name} | {' | '.join(map(cell, values))} |")
    ratios = [ours / peer for ours, peer in zip(*medians.values(), strict=True)]
    print(f"| ratio | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |", flush=True)


def cell(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--kind", choices=ROWS, help="one kind of row alone")
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--serve", choices=ROWS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.port)
    elif options.contestant:
        print(json.dumps(measure(options.contestant, options.kind, options.port)))
    else:
        compare("import", import_alone, options.repetitions)
        for kind in [options.kind] if options.kind else ROWS:
            compare(kind, run, options.repetitions)


if __name__ == "__main__":
    main()
