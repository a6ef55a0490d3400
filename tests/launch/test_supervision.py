"""Roles' processes: kept running, given up for a reason, gone with their launcher."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from greenroom.errors import ConfigurationError, RoleFailed
from greenroom.launch import supervision
from greenroom.launch.logs import LogLine, MergedLogs
from greenroom.launch.ports import LOOPBACK, ReservedPorts
from greenroom.launch.supervision import RoleProcess

SLEEP = "import sys; print('up', flush=True); sys.stdin.read()"


@pytest.fixture
def make_role(tmp_path: Path) -> Iterator[Callable[[str], RoleProcess]]:
    made: list[RoleProcess] = []

    def make(program: str) -> RoleProcess:
        command = [sys.executable, "-c", program]
        made.append(RoleProcess("actor-0", command, os.environ, tmp_path / "actor-0.log"))
        return made[-1]

    yield make
    for role in made:
        role.kill()


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come so far in time"
        time.sleep(0.01)


def test_a_killed_role_is_started_again_after_a_pause(
    make_role: Callable[[str], RoleProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than a busy machine stands still between two looks.
    monkeypatch.setattr(supervision, "FIRST_PAUSE_SECONDS", 3.0)
    role = make_role(SLEEP)
    role.start()
    first = role.pid
    assert first is not None
    assert (role.watch(), role.poll(), role.state) == (None, None, "running")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: role.poll() == -9)
    assert role.watch() == "actor-0 was ended by SIGKILL; it starts again in 3 s"
    assert role.state.startswith("starts again in")
    assert role.watch() is None
    happened: list[str] = []
    wait_until(lambda: happened.extend(filter(None, [role.watch()])) or happened)
    assert happened == ["actor-0 was started again"]
    assert role.pid not in (None, first)
    assert role.restarts == 1


def test_pauses_double_and_a_role_that_keeps_ending_is_given_up_with_its_last_lines(
    make_role: Callable[[str], RoleProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(supervision, "LONGEST_PAUSE_SECONDS", 0.03)
    role = make_role("print('the robot fell over'); raise SystemExit(1)")
    role.start()
    happened: list[str] = []
    with pytest.raises(RoleFailed) as failure:  # noqa: PT012  it fails at some call
        for _ in range(3_000):
            if event := role.watch():
                happened.append(event)
            time.sleep(0.01)
    pauses = [event.rsplit(" ", 2)[1] for event in happened if "starts again in" in event]
    assert pauses == ["0.01", "0.02", "0.03", "0.03", "0.03"]
    assert role.restarts == supervision.MAX_RESTARTS
    assert str(failure.value).startswith(
        f"actor-0 ended with status 1; a role is started again 5 times. {role.log}:"
    )
    assert str(failure.value).endswith("the robot fell over")


@pytest.mark.parametrize(("status", "error"), [(2, ConfigurationError), (3, RoleFailed)])
def test_some_ends_are_final_at_once(
    make_role: Callable[[str], RoleProcess], status: int, error: type[Exception]
) -> None:
    role = make_role(f"print('no such game'); raise SystemExit({status})")
    role.start()
    wait_until(lambda: role.poll() is not None)
    with pytest.raises(error, match=r"would not help[^\n]*\n  no such game"):
        role.watch()
    assert role.restarts == 0


def test_a_role_that_ran_long_has_recovered(
    make_role: Callable[[str], RoleProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(supervision, "RECOVERED_SECONDS", 0.0)
    role = make_role("raise SystemExit(1)")
    role.start()
    while role.restarts <= supervision.MAX_RESTARTS:
        role.watch()
        time.sleep(0.01)


def test_a_role_ends_when_asked_and_its_standard_input_closes_with_the_launcher(
    make_role: Callable[[str], RoleProcess], tmp_path: Path
) -> None:
    role = make_role(SLEEP)
    role.start()
    wait_until(lambda: role.last_lines() == ["up"])
    role.terminate()
    wait_until(lambda: role.poll() == -signal.SIGTERM)

    program = (
        "import os, sys, time; from pathlib import Path\n"
        "from greenroom.launch.supervision import RoleProcess\n"
        f"role = RoleProcess('r', [sys.executable, '-c', {SLEEP!r}], os.environ, "
        f"Path({str(tmp_path / 'r.log')!r}))\n"
        "role.start(); print(role.pid, flush=True); time.sleep(60)"
    )
    launcher = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    with launcher:
        assert launcher.stdout is not None
        pid = int(launcher.stdout.readline())
        launcher.kill()
    wait_until(lambda: not _is_running(pid))


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_reserved_port_is_for_those_who_share_it() -> None:
    with ReservedPorts() as ports:
        first, second = ports.take(), ports.take()
        assert first != second
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind((LOOPBACK, first))
        with socket.socket() as server, socket.socket() as client:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            server.bind((LOOPBACK, first))
            server.listen()
            for _ in range(20):  # none goes to the socket that only holds the port
                with socket.create_connection((LOOPBACK, first), timeout=5):
                    server.accept()[0].close()
            assert client.connect_ex((LOOPBACK, second)) != 0
    with socket.socket() as server:
        server.bind((LOOPBACK, second))


def test_logs_are_followed_and_merged_in_whole_lines(tmp_path: Path) -> None:
    (tmp_path / "learner.log").write_text("12:00:00 INFO of an earlier process\n")
    with MergedLogs(tmp_path, ["learner", "actor-0"]) as logs:
        assert logs.read() == []
        with (tmp_path / "learner.log").open("a") as learner:
            learner.write("12:00:01 INFO checkpoint 000001\n12:00:02 WARN")
            learner.flush()
            assert logs.read() == [LogLine("learner", "INFO", "checkpoint 000001")]
            learner.write("ING disk is almost full\n  File x\n")
        (tmp_path / "actor-0.log").write_bytes(b"\xff\n")
        assert logs.read() == [
            LogLine("learner", "WARNING", "disk is almost full"),
            LogLine("learner", None, "  File x"),
            LogLine("actor-0", None, "\N{REPLACEMENT CHARACTER}"),
        ]
        logs.note("actor-0 was started again")
    merged = [line.split(" ", 1)[1] for line in (tmp_path / "all.log").read_text().splitlines()]
    assert merged == [
        "learner    INFO checkpoint 000001",
        "learner    WARNING disk is almost full",
        "learner      File x",
        "actor-0    \N{REPLACEMENT CHARACTER}",
        "launcher   actor-0 was started again",
    ]
