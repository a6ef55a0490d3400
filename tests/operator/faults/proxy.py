"""An HTTP proxy between the operator and the API server, which does to requests what a test says.

    with Proxy(cluster.kubeconfig, folder) as proxy:
        operator = make_operator(kubeconfig=proxy.kubeconfig)
        proxy.fault = lambda call: Answer(500) if call.write else None
        proxy.cut_at(write=7, delivered=True)       # and nothing passes until proxy.restore()
        proxy.end_watches()

The operator reaches it by plain HTTP and as nobody; the proxy ends TLS and logs in upstream as
the kubeconfig says. Watches are streamed. It runs in a thread of its own.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import aiohttp
from aiohttp import web

from e2e.cluster.cluster import write_kubeconfig
from greenroom_operator.client import load_configuration, open_session

T = TypeVar("T")

START_SECONDS = 60.0
# Of a connection, not of a request; the rest is the HTTP libraries' own business.
_NOT_FORWARDED = {"host", "connection", "content-length", "transfer-encoding", "accept-encoding"}


@dataclass(frozen=True)
class Call:
    """A request of the operator.

    Attributes:
        time: when it came, by the monotonic clock.
        method, path: of it; the path without the query.
        watch: whether it is a watch.
        lease: whether it is about a Lease.
        write: its number among the writes, Leases apart, from 1; None if it is a read.
    """

    time: float
    method: str
    path: str
    watch: bool = False
    lease: bool = False
    write: int | None = None


@dataclass(frozen=True)
class Answer:
    """The proxy answers itself, as the API server does; the request goes no further."""

    status: int
    reason: str = ""
    retry_after: int | None = None


@dataclass(frozen=True)
class Delay:
    """The request waits for so many seconds, and goes on."""

    seconds: float


@dataclass(frozen=True)
class Hold:
    """Nobody answers, until the fault is another one."""


@dataclass(frozen=True)
class Expire:
    """A watch is accepted, and told in the stream that its resource version is too old."""


@dataclass(frozen=True)
class Cut:
    """The connection breaks: before the API server has the request, or once it has done it."""

    delivered: bool


Fault = Answer | Delay | Hold | Expire | Cut


class Proxy:
    """See the module's words.

    Args:
        upstream: a kubeconfig for the API server.
        folder: where the operator's kubeconfig is written.

    Attributes:
        kubeconfig: for the operator.
        fault: what happens to a call, None for nothing. Called in the proxy's thread.
        calls: all requests so far, those that came to harm included.
    """

    def __init__(self, upstream: Path, folder: Path) -> None:
        self._upstream = upstream
        self.kubeconfig = folder / "proxy.kubeconfig"
        self.fault: Callable[[Call], Fault | None] = lambda call: None
        self.calls: list[Call] = []
        self._writes = 0
        self._severed = threading.Event()
        self._transports: set[asyncio.Transport] = set()
        self._watches: set[asyncio.Event] = set()

    def __enter__(self) -> Proxy:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._serving = self._served()
        port = self._run(self._serving.__aenter__())
        server = {"server": f"http://127.0.0.1:{port}"}
        write_kubeconfig(self.kubeconfig, server, token="the-proxy-has-its-own")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.sever()
        self._run(self._serving.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_SECONDS)
        self._loop.close()

    # --- what a test says -------------------------------------------------------------------

    def cut_at(self, write: int, *, delivered: bool) -> None:
        """Break every connection at the write with this number, and let nothing pass then.

        Args:
            write: counted from the proxy's start.
            delivered: whether the API server has done it by then; nobody is told.
        """
        self.fault = lambda call: Cut(delivered) if call.write == write else None

    def sever(self) -> None:
        """Break every connection, and each new one, until `restore`."""
        self._severed.set()
        self._loop.call_soon_threadsafe(self._break_all)

    def restore(self) -> None:
        """Let everything pass again."""
        self.fault = lambda call: None
        self._severed.clear()

    def end_watches(self) -> None:
        """End every watch in order, as the API server does now and then."""

        def end() -> None:
            for ended in self._watches:
                ended.set()

        self._loop.call_soon_threadsafe(end)

    @property
    def severed(self) -> bool:
        """Whether nothing passes: a cut has happened."""
        return self._severed.is_set()

    @property
    def writes(self) -> int:
        """How many writes there were, Leases apart."""
        return self._writes

    def since(self, moment: float) -> list[Call]:
        """Return the calls since a moment of the monotonic clock, those for Leases apart."""
        return [call for call in list(self.calls) if call.time >= moment and not call.lease]

    # --- the server -------------------------------------------------------------------------

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(START_SECONDS)

    @asynccontextmanager
    async def _served(self) -> AsyncIterator[int]:
        configuration = await load_configuration(str(self._upstream))
        self._host = configuration.host
        login = await configuration.get_api_key_with_prefix("BearerToken")
        headers = {"Authorization": login} if login else {}
        async with open_session(configuration, headers=headers) as self._session:
            runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            _, port = runner.addresses[0]
            yield port
            await runner.cleanup()
        # TLS connections end by a last exchange, for which aiohttp does not wait.
        await asyncio.sleep(0.25)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        assert isinstance(transport, asyncio.Transport), "a connection has a transport"
        self._transports.add(transport)
        try:
            return await self._pass(request)
        except (aiohttp.ClientError, ConnectionError):
            # The operator is gone, or the API server: whoever is left finds it broken.
            transport.abort()
            return web.Response()
        finally:
            self._transports.discard(transport)

    async def _pass(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        call = self._call(request)
        if self._severed.is_set():
            raise ConnectionAbortedError
        fault = self.fault(call)
        match fault:
            case Answer():
                return _status(fault)
            case Delay():
                await asyncio.sleep(fault.seconds)
            case Hold():
                while self.fault(call) == fault and not self._severed.is_set():
                    await asyncio.sleep(0.05)
                raise ConnectionAbortedError
            case Expire():
                gone = {"code": 410, "reason": "Expired", "message": "too old resource version"}
                event = {"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", **gone}}
                return web.json_response(event)
            case Cut(delivered=False):
                self.sever()
                raise ConnectionAbortedError
        if call.watch:
            return await self._stream(request)
        answer = await self._forward(request, body)
        if isinstance(fault, Cut):
            self.sever()
            raise ConnectionAbortedError
        return answer

    def _call(self, request: web.BaseRequest) -> Call:
        lease = request.path.startswith("/apis/coordination.k8s.io/")
        number = None
        if request.method != "GET" and not lease:
            self._writes += 1
            number = self._writes
        watch = request.query.get("watch") == "true"
        call = Call(time.monotonic(), request.method, request.path, watch, lease, number)
        self.calls.append(call)
        return call

    async def _forward(self, request: web.BaseRequest, body: bytes) -> web.Response:
        async with self._request(request, body) as answer:
            content = await answer.read()
            return web.Response(status=answer.status, body=content, headers=_headers(answer))

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        ended = asyncio.Event()
        async with self._request(request, b"") as answer:
            response = web.StreamResponse(status=answer.status, headers=_headers(answer))
            await response.prepare(request)
            self._watches.add(ended)
            copying = asyncio.create_task(_copy(answer, response))
            ending = asyncio.create_task(ended.wait())
            try:
                await asyncio.wait((copying, ending), return_when=asyncio.FIRST_COMPLETED)
                if copying.done():
                    copying.result()
            finally:
                self._watches.discard(ended)
                copying.cancel()
                ending.cancel()
                await asyncio.gather(copying, ending, return_exceptions=True)
            await response.write_eof()
            return response

    def _request(self, request: web.BaseRequest, body: bytes) -> Any:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _NOT_FORWARDED | {"authorization"}
        }
        return self._session.request(
            request.method,
            self._host + request.raw_path,
            data=body or None,
            headers=headers | {"Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=None),
        )

    def _break_all(self) -> None:
        for transport in list(self._transports):
            transport.abort()
        for ended in self._watches:
            ended.set()


async def _copy(answer: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
    async for chunk in answer.content.iter_any():
        await response.write(chunk)


def _headers(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {
        name: value for name, value in answer.headers.items() if name.lower() not in _NOT_FORWARDED
    }


def _status(answer: Answer) -> web.Response:
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": f"the test's proxy answers {answer.status}",
        "reason": answer.reason,
        "code": answer.status,
    }
    headers = {} if answer.retry_after is None else {"Retry-After": str(answer.retry_after)}
    return web.Response(
        status=answer.status,
        text=json.dumps(status),
        content_type="application/json",
        headers=headers,
    )
