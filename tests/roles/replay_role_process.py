"""The replay role as a process, a learner that it may ask, and a peer that fills its table."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answering import Answering
from learner_tools import TOKEN
from prometheus_client import CollectorRegistry

from greenroom.core import Writer
from greenroom.launch.ports import LOOPBACK
from greenroom.observability.endpoint import Endpoint
from greenroom.replay.descriptions import tables_to_json
from greenroom.replay.reverb_client import ReverbReplay
from greenroom.replay.tables import Fifo, RateLimiter, Table, Uniform
from greenroom.roles import settings
from greenroom.specs import Array, ArraySpec

LIMITER = RateLimiter.sample_to_insert_ratio(2.0, min_size=2, error_buffer=6.0)
NUMBER = ArraySpec((), np.dtype(np.float32))
TABLE = Table("t", Uniform(), Fifo(), LIMITER, max_size=10, signature={"x": NUMBER})
# The command, and which libraries it has imported when it ends.
PROGRAM = """
import sys
from greenroom.cli.main import main
try:
    main()
finally:
    print("imported:", *sorted({"gymnasium", "tensorflow", "torch"} & set(sys.modules)))
"""
COMMAND = ("role", "replay", "--follow-stdin")


class Role(Answering):
    """A process of ``greenroom role replay``, which runs ``before`` ahead of it."""

    def __init__(
        self, log: Path, port: int, http_port: int, *arguments: str, before: str = ""
    ) -> None:
        super().__init__(http_port)
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", before + PROGRAM, *COMMAND, *arguments],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                # As a launcher or a pod may set them.
                env={
                    "PATH": "",
                    settings.TOKEN: TOKEN,
                    settings.PORT: str(port),
                    settings.HTTP_PORT: str(http_port),
                },
            )

    def wait_for(self, what: str, seen: Callable[[], Any], seconds: float = 120.0) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                found = seen()
            except urllib.error.URLError:  # its endpoint does not listen yet
                found = None
            if found:
                return found
            time.sleep(0.05)
        pytest.fail(f"no {what} in {seconds} s; {self.log.read_text()}")

    def wait_until_ready(self) -> None:
        self.wait_for("readiness", lambda: self.ask("/readyz") == (200, "ready\n"))

    def wait_for_line(self, text: str) -> str:
        return self.wait_for(
            f"line {text!r}",
            lambda: next((line for line in self.lines() if text in line), None),
        )

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    def end(self) -> int:
        return self.process.wait(timeout=60)


@contextmanager
def running(log: Path, ports: tuple[int, int], *arguments: str, before: str = "") -> Iterator[Role]:
    role = Role(log, *ports, *arguments, before=before)
    try:
        yield role
    finally:
        role.process.kill()
        role.process.wait()
        assert role.process.stdin is not None
        role.process.stdin.close()


@contextmanager
def learner(port: int, table: Table, counts: Mapping[str, int]) -> Iterator[None]:
    """What of the learner replay sees: its HTTP endpoint."""
    with Endpoint(
        LOOPBACK,
        port,
        role="learner",
        registry=CollectorRegistry(),
        status=dict,
        routes={"/tables": lambda: tables_to_json([table]), "/counts": lambda: counts},
    ):
        yield


@contextmanager
def replay_at(port: int, table: Table = TABLE) -> Iterator[ReverbReplay]:
    with closing(ReverbReplay(f"{LOOPBACK}:{port}", [table])) as replay:
        yield replay


def insert(replay: ReverbReplay, *values: float) -> None:
    write(replay.writer(), np.array(values, np.float32))


def write(writer: Writer, items: Array) -> None:
    writer.insert("t", {"x": items}, np.ones(len(items)))
    writer.flush(timeout=30.0)


def count(role: Role, text: str) -> int:
    return sum(text in line for line in role.lines())
