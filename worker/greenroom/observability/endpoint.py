"""The HTTP endpoint of a role: for probes, for Prometheus, for launchers and for people.

::

    with Endpoint("127.0.0.1", 0, role="actor-0", registry=registry, status=actor.status) as http:
        http.ready("waiting for the learner at learner:7000")
        ...
        http.ready()
        while acting:
            http.alive()
            ...

It answers GET and HEAD of these, from threads of its own:

    /healthz   200 while the main loop turns: `Endpoint.alive` was called lately; else 503
    /readyz    200 while the role does what it is for; else 503 and what it waits for
    /metrics   Prometheus' text format
    /status    JSON: the role, whether it is ready, and what the role says of itself
    others     JSON, as handed in; 404 for what is not there
"""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from greenroom.errors import GreenroomError
from greenroom.ports import check_port_is_free

# A client that sends or takes nothing for so long is let go.
REQUEST_SECONDS: Final = 5.0
STALLED_SECONDS: Final = 60.0
TEXT: Final = "text/plain; charset=utf-8"


class Reply(NamedTuple):
    """What is answered to one request."""

    status: HTTPStatus
    content_type: str
    body: bytes


class Endpoint:
    """Serves a role's state until it is closed. Safe to use from several threads.

    Args:
        host: address to listen on: "127.0.0.1", or "0.0.0.0" for all interfaces.
        port: 0 lets the system choose one.
        role: name that ``/status`` has.
        registry: what ``/metrics`` shows; gets ``greenroom_role_ready``.
        status: returns what ``/status`` shows besides, as JSON values.
        routes: functions that return JSON values, by path ("/tables"); looked up at each
            request, so that more may be put in later.
        stalled_seconds: how long `alive` may stay away before the role counts as hung.

    Raises:
        GreenroomError: nothing can listen there.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        role: str,
        registry: CollectorRegistry,
        status: Callable[[], Mapping[str, Any]],
        routes: Mapping[str, Callable[[], object]] | None = None,
        stalled_seconds: float = STALLED_SECONDS,
    ) -> None:
        self._role = role
        self._registry = registry
        self._status = status
        self._routes = {} if routes is None else routes
        self._stalled_seconds = stalled_seconds
        self._began = time.monotonic()
        self._alive: tuple[float, float] = (self._began, stalled_seconds)
        self._not_ready: tuple[str, float] | None = ("starting", self._began)
        ready = Gauge("greenroom_role_ready", "Whether /readyz answers 200.", registry=registry)
        ready.set_function(lambda: self._not_ready is None)
        check_port_is_free(port, f"The HTTP endpoint of {role}")
        try:
            self._server = _Server(host, port, self.reply)
        except OSError as error:
            raise GreenroomError(
                f"The HTTP endpoint of {role} must be able to listen on its address. "
                f"Got: {host}:{port}: {error.strerror}."
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="http", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def alive(self, seconds: float | None = None) -> None:
        """Say that the main loop turns; costs nothing.

        Args:
            seconds: how long its next turn may take; None is ``stalled_seconds``.
        """
        self._alive = time.monotonic(), self._stalled_seconds if seconds is None else seconds

    def ready(self, reason: str | None = None) -> None:
        """Say that the role does what it is for; with a reason, that it does not, and why.

        How long the same reason has stood is added to it where it is shown.
        """
        standing = self._not_ready
        if reason is None:
            self._not_ready = None
        elif standing is None or standing[0] != reason:
            self._not_ready = (reason, time.monotonic())

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reply(self, path: str) -> Reply:
        """Return the answer to a request; an error of the role's own functions is a 500."""
        try:
            match path:
                case "/healthz":
                    return _probe(self._why_not_alive(), "alive")
                case "/readyz":
                    return _probe(self._why_not_ready(), "ready")
                case "/metrics":
                    body = generate_latest(self._registry)
                    return Reply(HTTPStatus.OK, CONTENT_TYPE_LATEST, body)
                case "/status":
                    return _json(self._whole_status())
            if path in self._routes:
                return _json(self._routes[path]())
        except Exception as error:
            text = f"{type(error).__name__}: {error}\n"
            return Reply(HTTPStatus.INTERNAL_SERVER_ERROR, TEXT, text.encode())
        paths = ["/healthz", "/readyz", "/metrics", "/status", *self._routes]
        text = f"There is {', '.join(paths)}. Got: {path}\n"
        return Reply(HTTPStatus.NOT_FOUND, TEXT, text.encode(errors="replace"))

    def _whole_status(self) -> dict[str, Any]:
        reason = self._why_not_ready()
        return {
            "role": self._role,
            "ready": reason is None,
            "reason": reason,
            "uptimeSeconds": round(time.monotonic() - self._began, 3),
            **self._status(),
        }

    def _why_not_alive(self) -> str | None:
        turned_at, may_take = self._alive
        still = time.monotonic() - turned_at
        if still <= may_take:
            return None
        return f"the main loop has stood still for {still:.0f} s, longer than {may_take:g} s"

    def _why_not_ready(self) -> str | None:
        standing = self._not_ready
        if standing is None:
            return None
        reason, since = standing
        return f"{reason}, for {time.monotonic() - since:.0f} s"


def _probe(why_not: str | None, good: str) -> Reply:
    status = HTTPStatus.OK if why_not is None else HTTPStatus.SERVICE_UNAVAILABLE
    return Reply(status, TEXT, f"{why_not or good}\n".encode())


def _json(value: object) -> Reply:
    body = json.dumps(value, allow_nan=False, ensure_ascii=False)
    return Reply(HTTPStatus.OK, "application/json", f"{body}\n".encode())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    # A launcher keeps a role's port with a socket that never listens, over the role's restarts.
    allow_reuse_port = True

    def __init__(self, host: str, port: int, reply: Callable[[str], Reply]) -> None:
        self.reply = reply
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # As http.server, but for asking the network for the host's name, which may take long.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "", self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let a client that went away go without a traceback."""


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_SECONDS
    server_version = "greenroom"
    sys_version = ""
    server: _Server

    def do_GET(self) -> None:
        """Answer."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer without the body."""
        self._answer(with_body=False)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Probes come every few seconds; they are not logged."""

    def _answer(self, with_body: bool) -> None:
        reply = self.server.reply(self.path.partition("?")[0])
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(reply.body)
