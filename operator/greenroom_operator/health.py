"""The operator's own health, answered from a thread, so that a loop that is stuck shows.

/healthz   503 if the event loop stands still, or a watch was not accepted for long
/readyz    503 until the Lease can be read (a standby), or caches are synced and watches have
           begun (the leader)
/metrics   Prometheus' text format
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from greenroom_operator.errors import OperatorError
from greenroom_operator.handlers import WATCH_SECONDS
from greenroom_operator.metrics import Metrics

BEAT_SECONDS: Final = 1.0
# Longer than anything that computes without a pause.
STUCK_SECONDS: Final = 30.0
# A watch is asked for anew every WATCH_SECONDS, by kopf's settings.
STALE_SECONDS: Final = WATCH_SECONDS + 60.0


class Health:
    """What probes ask for.

    Attributes:
        not_ready: why the process is not ready, None if it is, its watches apart.
    """

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self.not_ready: str | None = "starting"
        self._clock = clock
        self._beat = clock()
        self._watches: dict[str, float] = {}
        self._awaited: set[str] = set()
        self._noticed: set[str] = set()
        self._metrics = metrics
        metrics.watch_age.set_function(self.watch_age)

    async def beat(self) -> None:
        """Say that the loop turns, for ever."""
        while True:
            self._beat = self._clock()
            await asyncio.sleep(BEAT_SECONDS)

    def expect(self, watches: Iterable[str]) -> None:
        """Say which watches, by URL path, are to be accepted from now on.

        Otherwise a list that hangs before its watch would never be missed.
        """
        now = self._clock()
        for path in watches:
            self._watches.setdefault(path, now)
            self._awaited.add(path)

    def notice(self, watches: Iterable[str]) -> None:
        """Say which others are looked at, by URL path, on whose health nothing depends."""
        self._noticed.update(watches)

    def watch_age(self) -> float:
        """Return the seconds since the watch was accepted that this happened to longest ago."""
        return max((self._clock() - at for at in list(self._watches.values())), default=0.0)

    def why_not_ready(self) -> str | None:
        """Return why the process is not ready, None if it is."""
        if self.not_ready is None and self._awaited:
            return f"{len(self._awaited)} of {len(self._watches)} watches have not begun yet"
        return self.not_ready

    def why_not_alive(self) -> str | None:
        """Return why the process had better be started again, None if it need not be."""
        still = self._clock() - self._beat
        if still > STUCK_SECONDS:
            return f"the event loop has stood still for {still:.0f} s"
        for path, accepted in list(self._watches.items()):
            age = self._clock() - accepted
            if age > STALE_SECONDS:
                return f"the watch of {path} was last accepted {age:.0f} s ago"
        return None

    def trace(self, listed: Callable[[], None]) -> aiohttp.TraceConfig:
        """Return what notes accepted watches in kopf's HTTP session.

        Args:
            listed: called when kopf lists a kind, since before that it may have missed deletions.
        """

        async def ended(_: Any, __: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
            path, known = params.url.path, self._watches.keys() | self._noticed
            if path not in known or params.response.status != HTTPStatus.OK:
                return
            if params.url.query.get("watch") != "true":
                listed()
            elif path in self._watches:
                self._watches[path] = self._clock()
                self._awaited.discard(path)

        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(ended)
        return trace


@contextmanager
def served(health: Health, metrics: Metrics, host: str, port: int) -> Iterator[int]:
    """Answer inside the block; its value is the port.

    Raises:
        OperatorError: nothing can listen there.
    """

    class Handler(_Handler):
        pass

    Handler.health, Handler.metrics = health, metrics
    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise OperatorError(
            f"The operator must be able to listen on its HTTP address. Got: {host}:{port}: "
            f"{error.strerror}."
        ) from error
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="http", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    health: Health
    metrics: Metrics
    timeout = 5.0

    def do_GET(self) -> None:
        """Answer a probe, Prometheus or a person."""
        content_type = "text/plain; charset=utf-8"
        match self.path.partition("?")[0]:
            case "/healthz":
                status, body = _probe(self.health.why_not_alive(), "alive")
            case "/readyz":
                status, body = _probe(self.health.why_not_ready(), "ready")
            case "/metrics":
                status, body = HTTPStatus.OK, generate_latest(self.metrics.registry)
                content_type = CONTENT_TYPE_LATEST
            case other:
                status = HTTPStatus.NOT_FOUND
                body = f"There is /healthz, /readyz and /metrics. Got: {other}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Probes come every few seconds; they are not logged."""


def _probe(why_not: str | None, good: str) -> tuple[HTTPStatus, bytes]:
    status = HTTPStatus.OK if why_not is None else HTTPStatus.SERVICE_UNAVAILABLE
    return status, f"{why_not or good}\n".encode()
