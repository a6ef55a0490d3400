"""The channel to a Reverb server: how it is called, found again, and told apart from a dead one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Event
from typing import Any, Final

import grpc

from greenroom.errors import GreenroomError, ReplayClosed, ReplayUnavailable, SignatureError
from greenroom.replay.arguments import deadline_after
from greenroom.replay.limiter import Limiter
from greenroom.replay.reverb_client import messages
from greenroom.replay.reverb_client.signatures import check_signature
from greenroom.replay.reverb_client.tensors import parse
from greenroom.replay.tables import RateLimiter, Table

PROBE_SECONDS: Final = 1.0
"""How long a server that is there may take to say how it is."""

RETRY_SECONDS: Final = 0.1
"""How long to wait before a server that went away is tried again."""

_OPTIONS: Final = [
    # A response ships whole chunks, and one frame of pixels can exceed the default of 4 MB.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A restarted server is found within a second or two, also under another address:
    # the defaults wait up to two minutes, and ask the name service twice a minute.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    # A server whose machine went away without a word is noticed when what is sent to it is not
    # acknowledged for so long, or by a ping; it ends connections that ping every five minutes.
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_time_ms", 310_000),
    # Replay is inside the cluster, or on this machine.
    ("grpc.enable_http_proxy", 0),
]


class Connection:
    """A channel to one server, shared by all writers and samplers of a replay.

    Attributes:
        address: HOST:PORT.
        tables: what is wanted of the server, by name.
        closed: set for good by `close`.
    """

    def __init__(self, address: str, tables: Sequence[Table]) -> None:
        self.address = address
        self.tables: Mapping[str, Table] = {table.name: table for table in tables}
        self.closed = Event()
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        self._wakers: list[Callable[[], None]] = []

    def insert_stream(self, requests: Iterator[bytes]) -> Any:
        """Open a stream of insertions; yields responses as bytes."""
        open_stream: Any = self._channel.stream_stream(messages.SERVICE + "InsertStream")
        return open_stream(requests)

    def sample_stream(self, requests: Iterator[bytes]) -> Any:
        """Open a stream of samples; yields responses as bytes."""
        open_stream: Any = self._channel.stream_stream(messages.SERVICE + "SampleStream")
        return open_stream(requests)

    def call(self, method: str, request: bytes, timeout: float) -> bytes:
        """Call a method that may be repeated, again and again until the server answers.

        Raises:
            ReplayUnavailable: it did not, within ``timeout`` seconds.
            ReplayClosed: replay was closed.
        """
        deadline = deadline_after(timeout)
        while True:
            remaining = max(deadline - time.monotonic(), 0.0)
            try:
                return self._call_once(method, request, remaining)
            except ReplayUnavailable:
                if remaining <= RETRY_SECONDS:
                    raise
            self.closed.wait(RETRY_SECONDS)

    def _call_once(self, method: str, request: bytes, timeout: float) -> bytes:
        self.check_open()
        call: Any = self._channel.unary_unary(messages.SERVICE + method)
        try:
            return bytes(call(request, timeout=timeout))
        except (grpc.RpcError, ValueError) as error:  # ValueError: the channel was closed
            self.check_open()
            raise ReplayUnavailable(
                f"The replay server at {self.address} must answer {method}. Got: {describe(error)}."
            ) from None

    def server_info(self, timeout: float) -> dict[str, Any]:
        """Return what the server says of our tables, by name.

        Raises:
            SignatureError: it lacks one of them.
            ReplayUnavailable: it does not answer within ``timeout`` seconds.
            ReplayClosed: replay was closed.
        """
        return self._read_info(self.call("ServerInfo", b"", timeout))

    def _read_info(self, answer: bytes) -> dict[str, Any]:
        theirs = {info.name: info for info in parse(messages.ServerInfoResponse, answer).table_info}
        if not self.tables.keys() <= theirs.keys():
            raise SignatureError(
                f"The replay server at {self.address} must have the tables "
                f"{sorted(self.tables)}. Got: {sorted(theirs)}."
            )
        return {name: theirs[name] for name in self.tables}

    def check_tables(self) -> None:
        """Make sure that the server is there and has our tables.

        Raises:
            SignatureError: it has other ones.
            ReplayUnavailable: it does not answer.
            ReplayClosed: replay was closed.
        """
        for name, info in self._probe().items():
            check_signature(self.tables[name], info.signature)

    def limiters(self) -> dict[str, Limiter]:
        """Return where each table's limiter stands, to say what it waits for.

        Raises:
            SignatureError: the server lacks one of our tables.
            ReplayUnavailable: it does not answer.
            ReplayClosed: replay was closed.
        """
        return {name: read_limiter(info) for name, info in self._probe().items()}

    def _probe(self) -> dict[str, Any]:
        return self._read_info(self._call_once("ServerInfo", b"", PROBE_SECONDS))

    def lost(self, what: str, error: Exception) -> GreenroomError:
        """Return the error of a stream of ``what`` that ended, or could not begin."""
        if isinstance(error, GreenroomError):
            return error
        return ReplayUnavailable(
            f"The replay server at {self.address} must keep a stream of {what}. "
            f"Got: {describe(error)}."
        )

    def check_open(self) -> None:
        """Raise `ReplayClosed` if replay was closed."""
        if self.closed.is_set():
            raise ReplayClosed(f"The replay at {self.address} was closed.")

    def on_close(self, wake: Callable[[], None]) -> None:
        """Have a function called by `close`; it must not block."""
        self._wakers.append(wake)

    def close(self) -> None:
        """End all calls, and wake everyone who waits. Idempotent."""
        self.closed.set()
        self._channel.close()
        for wake in self._wakers:
            wake()


def read_limiter(info: Any) -> Limiter:
    """Return a limiter with a server's numbers of one table.

    The server counts completed inserts and samples, over restarts from a checkpoint. What
    was inserted and is not there has been deleted.
    """
    stats = info.rate_limiter_info
    limiter = Limiter(
        RateLimiter(
            samples_per_insert=stats.samples_per_insert,
            min_size=stats.min_size_to_sample,
            min_diff=stats.min_diff,
            max_diff=stats.max_diff,
        )
    )
    limiter.inserts = stats.insert_stats.completed
    limiter.samples = stats.sample_stats.completed
    limiter.deletes = limiter.inserts - info.current_size
    return limiter


def describe(error: Exception) -> str:
    """Say in a line what went wrong with a call."""
    if isinstance(error, grpc.Call):
        return f"{error.code().name}: {error.details()}"
    return str(error)
