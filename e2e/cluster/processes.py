"""Processes that end with the one that started them, and their logs."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

SHORTEST_WAIT = 0.02
"""Seconds between two looks at something that is waited for."""

# The kernel's death signal is sent when the *thread* that started a process ends. This one
# thread starts all of them and lives as long as Python does.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="starter")
_held: list[socket.socket] = []


class ComponentError(Exception):
    """A process ended, or did not get ready in time; the message holds its last log lines."""


def start(
    command: Sequence[str | Path],
    log: IO[str],
    environment: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a process that is killed when this one ends, however it ends.

    It leads a process group of its own, so that Ctrl-C in a terminal does not reach it.

    Raises:
        ComponentError: there is no `setpriv` here (it is Linux' own, in util-linux).
    """
    setpriv = shutil.which("setpriv")
    if not setpriv:
        raise ComponentError("Processes are started with setpriv of util-linux. Got: not on PATH")
    guarded = [setpriv, "--pdeathsig", "KILL", "--", *map(str, command)]
    return _starter.submit(
        subprocess.Popen,
        guarded,
        stdin=stdin,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=None if environment is None else dict(environment),
        process_group=0,
    ).result()


def remove_when_gone(*folders: Path) -> Callable[[], None]:
    """Have these folders removed once this process has ended, or calls what is returned.

    The process that does it is the one here that outlives its starter, by a moment.
    """
    script = 'cat >/dev/null; rm -rf "$@" 2>/dev/null || { sleep 0.5; rm -rf "$@"; }'
    remover = subprocess.Popen(
        ["sh", "-c", script, "sh", *map(str, folders)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def remove() -> None:
        assert remover.stdin
        remover.stdin.close()
        remover.wait()

    return remove


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, and that is given to nobody else.

    It is below those that the kernel hands out by itself, so that no outgoing connection and
    no other test's port 0 takes it before it is used.
    """
    for _ in range(100):
        port = random.randrange(20_000, 32_000)
        holder = socket.socket()
        try:
            holder.bind(("127.0.0.1", port))
        except OSError:
            holder.close()
            continue
        # Bound as long as this process lives: another look for a free port fails here. A server
        # may listen all the same, if it reuses addresses as Go's do.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _held.append(holder)
        return port
    raise ComponentError("A free port between 20000 and 32000 is needed. Got: none in 100 tries")


def wait_until(met: Callable[[], bool], seconds: float, what: str) -> None:
    """Return as soon as `met()` is true.

    Raises:
        TimeoutError: it was not in that time; the message says what was waited for.
    """
    deadline = time.monotonic() + seconds
    while not met():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} within {seconds:g} s")
        time.sleep(SHORTEST_WAIT)


class Component:
    """A process with a name, a log and a way to tell whether it is ready.

    apiserver = Component("kube-apiserver", [...], log=folder / "kube-apiserver.log", ready=probe)
    apiserver.start()
    apiserver.wait_ready()
    apiserver.pause()  # hangs, as a broken network would make it seem
    apiserver.resume()
    apiserver.kill()  # gone without a farewell
    apiserver.start()
    """

    def __init__(
        self, name: str, command: Sequence[str | Path], log: Path, ready: Callable[[], bool]
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process, None while there is none."""
        return self._process.pid if self._process and self.running else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def memory(self) -> int:
        """Resident bytes; 0 while there is no process."""
        if self.pid is None:
            return 0
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def start(self) -> None:
        """Start the process; it goes on in the same log file."""
        assert not self.running, f"{self.name} runs already"
        with self.log.open("a") as log:
            self._process = start(self.command, log)

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Return when it is ready.

        Raises:
            ComponentError: it ended, or was not ready in that time.
        """

        def settled() -> bool:
            return not self.running or self._ready()

        try:
            wait_until(settled, seconds, f"{self.name} is ready")
        except TimeoutError as problem:
            raise ComponentError(f"{problem}. Got:\n{self.last_lines()}") from None
        if not self.running:
            status = self._process.returncode if self._process else None
            raise ComponentError(f"{self.name} ended, status {status}:\n{self.last_lines()}")

    def stop(self, seconds: float = 5.0) -> None:
        """Ask it to end with SIGTERM, kill it when it has not in that time."""
        self.signal(signal.SIGTERM)
        if self._process:
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.signal(signal.SIGKILL)
        if self._process:
            self._process.wait()

    def restart(self) -> None:
        """Stop it, start it again, and wait until it is ready."""
        self.stop()
        self.start()
        self.wait_ready()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open and nobody answers."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause` (SIGCONT)."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if there is a process to send it to."""
        if self._process and self.running:
            self._process.send_signal(number)

    def last_lines(self, count: int = 15) -> str:
        """The end of its log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(f"  {line}" for line in lines[-count:]) or "  (its log is empty)"
