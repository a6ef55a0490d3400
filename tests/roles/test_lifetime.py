"""How roles are asked to stop, in processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from greenroom.roles.lifetime import stop_requested

ORDERLY = """
with stop_requested(follow_stdin=FOLLOW) as stop:
    print("waiting", flush=True)
    while not stop.wait(60.0):
        pass
    print(f"{stop.reason}, {stop.signal.name}", flush=True)
"""
STUBBORN = """
lifetime.GRACE_SECONDS = 3.0  # in which a busy machine lets it say that it stops
with stop_requested(follow_stdin=FOLLOW) as stop:
    print("waiting", flush=True)
    while not stop.wait(60.0):
        pass
    print("stopping", flush=True)
    # As a library's call that no Python handler interrupts.
    ctypes.PyDLL(None).sleep(60)
"""


@contextmanager
def running(program: str, follow: bool = False) -> Iterator[subprocess.Popen[str]]:
    imports = (
        "import ctypes\nfrom greenroom.roles import lifetime\n"
        "from greenroom.roles.lifetime import stop_requested\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", imports + program.replace("FOLLOW", str(follow))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    with process.stdout, process.stdin:
        try:
            assert process.stdout.readline() == "waiting\n"
            yield process
        finally:
            process.kill()
            process.wait()


def end(process: subprocess.Popen[str]) -> tuple[str, int]:
    assert process.stdout is not None
    return process.stdout.read(), process.wait(timeout=60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait(number: signal.Signals) -> None:
    with running(ORDERLY) as process:
        process.send_signal(number)
        assert end(process) == (f"{number.name}, {number.name}\n", 0)


def test_closing_standard_input_is_as_sigterm() -> None:
    with running(ORDERLY, follow=True) as process:
        assert process.stdin is not None
        process.stdin.write("what is written is not meant for anybody\n")
        process.stdin.close()
        assert end(process) == ("standard input was closed, SIGTERM\n", 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_process_at_once(number: signal.Signals) -> None:
    with running(STUBBORN) as process:
        process.send_signal(number)
        assert process.stdout is not None
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(number)
        assert end(process) == ("", -number)


def test_who_hangs_after_standard_input_closed_is_killed() -> None:
    program = STUBBORN.replace("PyDLL", "CDLL")  # other threads go on
    with running(program, follow=True) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert end(process) == ("stopping\n", -signal.SIGKILL)


def test_a_wait_ends_by_itself_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stop_requested() as stop:
        began = time.monotonic()
        assert not stop.wait(0.15)
        assert 0.15 <= time.monotonic() - began < 5.0
        assert stop.reason is None
        assert not stop
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
