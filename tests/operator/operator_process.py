"""The real operator as a process, on a real API server."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import requests

from e2e.cluster.processes import start, wait_until

SECONDS = 60.0
WRONG = ("Traceback (most recent call last)", "Task exception was never retrieved", " ERROR ")


class OperatorProcess:
    """`python -m greenroom_operator` for one namespace, its log and its health.

    Args:
        kubeconfig: which cluster, and as whom.
        namespace: that it looks after, and where its Lease is; None: all, its Lease in `default`.
        log: a file for its standard error.
        flags: more flags.

    Attributes:
        expected: words of errors that the test is about.
    """

    def __init__(
        self, kubeconfig: Path, namespace: str | None, log: Path, flags: Sequence[str] = ()
    ) -> None:
        places = [f"--namespace={namespace}", f"--lease-namespace={namespace}"] if namespace else []
        self.command = [
            *(sys.executable, "-m", "greenroom_operator", "--http-port=0", "--http-host=127.0.0.1"),
            *places,
            *flags,
        ]
        self.path = log
        self.expected: tuple[str, ...] = ()
        # What the environment of the tests says to operators is not for this one.
        known = {k: v for k, v in os.environ.items() if not k.startswith("GREENROOM_OPERATOR")}
        self._environment = known | {"KUBECONFIG": str(kubeconfig)}
        self._process: subprocess.Popen[bytes] | None = None
        self._begun = 0

    @property
    def log(self) -> str:
        """All that it has written."""
        return self.path.read_text(errors="replace") if self.path.exists() else ""

    @property
    def url(self) -> str:
        """Where its health and metrics are, since it was started last."""
        pattern = re.compile(r"health and metrics are at (http://[\w.:]+)")
        wait_until(
            lambda: bool(pattern.search(self.log[self._begun :])) or self.status is not None,
            SECONDS,
            "the operator tells its port",
        )
        found = pattern.search(self.log[self._begun :])
        assert found, f"The operator ended, status {self.status}:\n{self.log}"
        return found[1]

    @property
    def pid(self) -> int:
        assert self._process is not None, "it was not started"
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status, None while it runs."""
        assert self._process is not None, "it was not started"
        return self._process.poll()

    def start(self) -> OperatorProcess:
        """Start it; `wait_ready` waits for it."""
        self._begun = len(self.log)
        with self.path.open("a") as log:
            self._process = start(self.command, log, self._environment)
        return self

    def get(self, path: str) -> requests.Response:
        """Ask for `/healthz`, `/readyz` or `/metrics`."""
        return requests.get(self.url + path, timeout=30.0)

    def metric(self, name: str, **labels: str) -> float:
        """A sample of its metrics, summed over the labels that are not given; 0 without any."""
        total = 0.0
        for line in self.get("/metrics").text.splitlines():
            found = re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)", line)
            if found and dict(re.findall(r'(\w+)="([^"]*)"', found[1] or "")).items() >= (
                labels.items()
            ):
                total += float(found[2])
        return total

    def wait_ready(self) -> OperatorProcess:
        """Return once `/readyz` says so."""
        self.wait_for(lambda: self.get("/readyz").status_code == 200, "the operator is ready")
        return self

    def wait_leading(self) -> OperatorProcess:
        """Return once it holds the Lease, and its caches are synced."""
        self.wait_for(
            lambda: self.metric("greenroom_operator_is_leader") == 1, "the operator leads"
        )
        return self.wait_ready()

    def wait_for(self, met: Callable[[], bool], what: str) -> None:
        """Return once that is so; fail at once if the process ends before."""

        def settled() -> bool:
            try:
                return met()
            except requests.ConnectionError:
                # It may be ending.
                assert self.wait() is None, f"It ended, status {self.status}:\n{self.log}"
                return False

        wait_until(settled, SECONDS, what)

    def wait_logged(self, words: str) -> None:
        """Return once its log has these words, since it was started last."""
        wait_until(lambda: words in self.log[self._begun :], SECONDS, f"it logs {words!r}")

    def stop(self) -> int:
        """End it with SIGTERM; return its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it with SIGKILL: no farewell, the Lease stays taken."""
        self.signal(signal.SIGKILL)
        self.wait()

    def wait(self, seconds: float = SECONDS) -> int:
        """Wait for its end; return its exit status."""
        assert self._process is not None, "it was not started"
        return self._process.wait(seconds)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        assert self._process is not None, "it was not started"
        if self._process.poll() is None:
            self._process.send_signal(number)

    def check(self) -> None:
        """Fail if its log has a traceback, or an error that is not `expected`."""
        lines = [
            line
            for line in self.log.splitlines()
            if any(words in line for words in WRONG)
            and not any(words in line for words in self.expected)
        ]
        assert not lines, f"The operator must log none of {WRONG}. Got:\n{self.log}"
