"""Startup, liveness and readiness of a running container, really asked."""

from __future__ import annotations

import socket
import time

import requests

from e2e.cluster.client import Object
from e2e.cluster.node.container import Run

KINDS = ("startupProbe", "livenessProbe", "readinessProbe")


class Probe:
    """One probe of a container that just started; counts as kubelet does.

    Attributes:
        passing: None before the first verdict.
        problem: what the last failure was.
    """

    def __init__(self, spec: Object, container: Object, address: str) -> None:
        self._spec = spec
        self._container = container
        self._address = address
        self._due = time.monotonic() + spec.get("initialDelaySeconds", 0)
        self._successes = self._failures = 0
        self.passing: bool | None = None
        self.problem = ""

    def step(self, run: Run) -> None:
        """Ask, if it is time to."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + self._spec.get("periodSeconds", 10)
        self.problem = self._ask(run)
        self._failures = self._failures + 1 if self.problem else 0
        self._successes = 0 if self.problem else self._successes + 1
        if self._failures >= self._spec.get("failureThreshold", 3):
            self.passing = False
        elif self._successes >= self._spec.get("successThreshold", 1):
            self.passing = True

    def _ask(self, run: Run) -> str:
        """What is wrong; empty if nothing is."""
        seconds = self._spec.get("timeoutSeconds", 1)
        if "exec" in self._spec:
            return run.succeeds(self._spec["exec"]["command"], seconds)
        if "tcpSocket" in self._spec:
            port = self._port(self._spec["tcpSocket"]["port"])
            try:
                socket.create_connection((self._address, port), seconds).close()
            except OSError as problem:
                return str(problem)
            return ""
        return self._get(self._spec["httpGet"], seconds)

    def _get(self, action: Object, seconds: float) -> str:
        headers = {header["name"]: header["value"] for header in action.get("httpHeaders", [])}
        scheme = action.get("scheme", "HTTP").lower()
        host = action.get("host") or self._address
        url = f"{scheme}://{host}:{self._port(action['port'])}{action.get('path', '/')}"
        try:
            with requests.Session() as session:
                session.trust_env = False
                # Like kubelet, which does not check certificates.
                answer = session.get(url, headers=headers, timeout=seconds, verify=False)
        except requests.RequestException as problem:
            return str(problem)
        return "" if answer.status_code < 400 else f"HTTP probe failed: {answer.status_code}"

    def _port(self, port: int | str) -> int:
        named = {p.get("name"): p["containerPort"] for p in self._container.get("ports", [])}
        return int(named.get(port, port))


class Health:
    """All probes of a running container.

    Attributes:
        started: the startup probe has passed, or there is none.
        ready: it should get traffic.
        failed: why it must be killed; empty if it must not.
    """

    def __init__(self, container: Object, address: str) -> None:
        self._probes = {
            kind: Probe(container[kind], container, address) for kind in KINDS if kind in container
        }
        self.started = "startupProbe" not in self._probes
        self.ready = self.started and "readinessProbe" not in self._probes
        self.failed = ""

    def step(self, run: Run) -> None:
        """Ask what is due."""
        if not self.started:
            startup = self._probes["startupProbe"]
            startup.step(run)
            self.started = startup.passing is True
            self._must_pass("startup", startup)
            if not self.started:
                return
        liveness, readiness = map(self._probes.get, KINDS[1:])
        if liveness:
            liveness.step(run)
            self._must_pass("liveness", liveness)
        if readiness:
            readiness.step(run)
        self.ready = not readiness or readiness.passing is True

    def _must_pass(self, name: str, probe: Probe) -> None:
        if probe.passing is False:
            self.failed = f"failed {name} probe: {probe.problem}"
