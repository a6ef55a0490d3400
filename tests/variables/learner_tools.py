"""A learner's service, reports and patience that the tests of variables share."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc

from greenroom.variables import serving
from greenroom.variables.journal import CountsJournal
from greenroom.variables.messages import ActorReport, VariablesRequest, encode
from greenroom.variables.remote import LearnerClient
from greenroom.variables.service import LearnerService

TOKEN = "a-token-of-this-run"
UNROLL = 20
METHODS = [
    serving.REPORT_ACTOR,
    serving.NEXT_EVALUATION,
    serving.REPORT_EVALUATION,
    serving.GET_VARIABLES,
]
ANYTHING = encode(VariablesRequest(-1, ""))


class Running(NamedTuple):
    service: LearnerService
    client: LearnerClient
    journal: CountsJournal


@contextmanager
def running(folder: Path, port: int = 0, **options: Any) -> Iterator[Running]:
    """A service on a free port, with its journal in ``folder``, and a client of it."""
    options = {"unroll_steps": UNROLL, "environment_steps": None} | options
    with CountsJournal(folder / "counts.jsonl") as journal:
        service = LearnerService("127.0.0.1", port, TOKEN, journal, **options)
        try:
            with LearnerClient(f"127.0.0.1:{service.port}", TOKEN, timeout=10.0) as client:
                yield Running(service, client, journal)
        finally:
            service.close()


def make_report(actor: str = "actor-0", incarnation: str = "a", **changes: Any) -> ActorReport:
    """A report of nothing done, with changes."""
    fields = {
        "environment_steps": 0,
        "episodes": 0,
        "recent_returns": (),
        "acting_seconds": 0.0,
        "waiting_seconds": 0.0,
        "version": -1,
        "dropped_items": 0,
    }
    return ActorReport(actor, incarnation, **(fields | changes))


def call(
    address: str,
    method: str,
    payload: bytes,
    metadata: tuple[tuple[str, str], ...] = (),
    timeout: float | None = 10.0,
) -> list[bytes]:
    """Call a method as anybody might; return the messages of its answer."""
    with grpc.insecure_channel(address) as channel:
        path = f"/{serving.SERVICE}/{method}"
        if method == serving.GET_VARIABLES:
            stream = channel.unary_stream(path)
            return list(stream(payload, metadata=metadata, timeout=timeout))
        return [channel.unary_unary(path)(payload, metadata=metadata, timeout=timeout)]


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.005)


@contextmanager
def full_disk(journal: CountsJournal) -> Iterator[None]:
    """Have the kernel answer each write to the journal with ENOSPC."""
    descriptor = journal._file
    kept, full = os.dup(descriptor), os.open("/dev/full", os.O_RDWR)
    os.dup2(full, descriptor)
    try:
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)
        os.close(full)


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
