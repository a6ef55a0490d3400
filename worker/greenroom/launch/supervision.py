"""One role's process: started, watched, started again after a pause, ended in order."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from greenroom.errors import ConfigurationError, RoleFailed
from greenroom.roles import settings

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
MAX_RESTARTS = 5
# Whoever ran this long has recovered: its earlier ends no longer count.
RECOVERED_SECONDS = 300.0
LAST_LINES = 5


class RoleProcess:
    """A role of a run, as a process that is kept running.

        replay = RoleProcess("replay", command, environment, log)
        replay.start()
        while not over:
            replay.watch()          # starts it again when it is time to
        replay.terminate()
        while replay.poll() is None:
            ...

    Its standard input is a pipe that this process holds: it closes with this process,
    however that ends, and the role ends with it.

    Args:
        name: "replay", "learner", "actor-0", ...
        command: what to start.
        environment: of the process, whole.
        log: where its standard output and error go, appended.

    Attributes:
        restarts: how often it was started again.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self.log = log
        self.restarts = 0
        self._command = list(command)
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0
        self._failures = 0
        self._status: int | None = None
        self._next_start: float | None = None

    @property
    def pid(self) -> int | None:
        """The process, None while there is none."""
        return self._process.pid if self._process is not None else None

    @property
    def state(self) -> str:
        """One word or two, for people: "running", "ended", "starts again in 3 s"."""
        if self._process is not None:
            return "running"
        if self._next_start is None:
            return "ended"
        return f"starts again in {max(0.0, self._next_start - time.monotonic()):.0f} s"

    def start(self) -> None:
        """Start the process."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                # A terminal's Ctrl-C is for the launcher, which ends the roles in order.
                start_new_session=True,
            )
        self._began = time.monotonic()
        self._status = None
        self._next_start = None

    def poll(self) -> int | None:
        """Return the status that the process ended with; None while it runs, or never has."""
        if self._process is not None and (status := self._process.poll()) is not None:
            self._take_end(status)
        return self._status

    def watch(self) -> str | None:
        """Start the process again if it ended and its pause is over.

        Returns:
            What happened, in words, if something did.

        Raises:
            ConfigurationError, RoleFailed: it must not be started again; the message has its
                last lines.
        """
        status = self.poll()
        if status is None:
            return None
        if self._next_start is None:
            if time.monotonic() - self._began > RECOVERED_SECONDS:
                self._failures = 0
            self._failures += 1
            if status == settings.EXIT_INVALID:
                raise ConfigurationError(self.why(status))
            if status == settings.EXIT_PERMANENT or self._failures > MAX_RESTARTS:
                raise RoleFailed(self.why(status))
            pause = min(FIRST_PAUSE_SECONDS * 2 ** (self._failures - 1), LONGEST_PAUSE_SECONDS)
            self._next_start = time.monotonic() + pause
            return f"{self.name} {describe_status(status)}; it starts again in {pause:g} s"
        if time.monotonic() < self._next_start:
            return None
        self.restarts += 1
        self.start()
        return f"{self.name} was started again"

    def why(self, status: int) -> str:
        """Return why a role that ended with ``status`` is given up, and its last lines."""
        rule = (
            "starting it again would not help"
            if status in (settings.EXIT_INVALID, settings.EXIT_PERMANENT)
            else f"a role is started again {MAX_RESTARTS} times"
        )
        lines = self.last_lines() or ["(it printed nothing)"]
        return "\n  ".join([f"{self.name} {describe_status(status)}; {rule}. {self.log}:", *lines])

    def last_lines(self) -> list[str]:
        """Return the newest lines of the log."""
        with contextlib.suppress(OSError):
            return self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return []

    def terminate(self) -> None:
        """Ask the process to end, and start it no more."""
        self._next_start = None
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once, and wait for that."""
        if self._process is not None:
            self._process.kill()
            self._take_end(self._process.wait())

    def _take_end(self, status: int) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process = None
        self._status = status


def describe_status(status: int) -> str:
    """Return a process's end in words.

    >>> describe_status(-9), describe_status(1)
    ('was ended by SIGKILL', 'ended with status 1')
    """
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"
