"""A consumer's way out of a table on a Reverb server."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from threading import TIMEOUT_MAX, Condition, Thread
from typing import Any, Final, NamedTuple, NoReturn

import grpc

from greenroom.errors import GreenroomError, ReplayTimeout, ReplayUnavailable, SignatureError
from greenroom.replay.arguments import check_batch_size, deadline_after
from greenroom.replay.reverb_client import messages
from greenroom.replay.reverb_client.connection import PROBE_SECONDS, RETRY_SECONDS, Connection
from greenroom.replay.reverb_client.reading import BrokenStreamError, SampleReader
from greenroom.replay.samples import Samples
from greenroom.replay.signature import Signature
from greenroom.replay.tables import Table

# A server goes on with a request after its stream has ended, and what it then draws is lost:
# so none is allowed to wait for long.
_MOST_REQUEST_SECONDS: Final = 2.0

# Samples ahead are asked for so many at a time: a request costs as much as some 50 of them.
_WORTHWHILE: Final = 128


class _Ended(NamedTuple):
    """A stream ended: what was asked for and has not come before this does not come.

    ``error`` is None if that was because the limiter admitted nothing for so long.
    """

    error: GreenroomError | None


class ReverbSampler:
    """One consumer's way out of a table (`greenroom.core.Sampler`); for one thread at a time.

    A thread of the sampler's own takes what the server sends; `sample` unpacks it.

    Args:
        connection: to the server.
        table: where to sample.
        prefetch: up to how many samples to ask for beyond those of the present call. With 0
            a call asks for its own, and has no request open when it returns. With more,
            samples travel while the consumer works on those before: they are drawn up to
            so many samples early, and count as sampled even if nobody fetches them.

    Attributes:
        wait_seconds: for how long the limiter held calls back.
    """

    def __init__(self, connection: Connection, table: Table, prefetch: int) -> None:
        self.wait_seconds = 0.0
        self._connection = connection
        self._table = table.name
        self._prefetch = prefetch
        self._reader = SampleReader(table, Signature(table))
        self._failure: GreenroomError | None = None  # why none came, last time
        self._thread: Thread | None = None
        self._changed = Condition()
        # Everything below is used under the condition's lock.
        self._arrived: deque[bytes | _Ended] = deque()  # responses, and ends of streams
        self._unsent: deque[bytes] = deque()
        self._stream = 0  # which one is open: requests of another end
        self._call: Any = None
        connection.on_close(self._wake)

    def sample(self, batch_size: int, timeout: float) -> Samples:
        """Return ``batch_size`` items, waiting ``timeout`` seconds at most.

        Items are admitted singly. A batch that is only partly filled at the deadline
        stays here, and the next call goes on with it. All arrays are the caller's own.
        Up to two seconds more are taken to find out why a wait was in vain.

        Raises:
            ReplayTimeout: the limiter did not admit them all; the message says why.
            ReplayUnavailable: the server does not answer.
            ReplayDataError: an item cannot be read; it is left out, the others stay.
            SignatureError: the server's table is another.
            ReplayClosed: replay was closed.
        """
        deadline = deadline_after(timeout)
        check_batch_size(batch_size)
        batch = self._reader.batch
        batch.reserve(max(batch_size, batch.count))
        # A request that ends with the call is answered in any case, if only that it was in vain.
        grace = 0.0 if self._prefetch else PROBE_SECONDS
        waited = 0.0
        first = True
        while True:
            self._connection.check_open()
            if self._read(batch_size):
                self.wait_seconds += waited
            missing = batch_size - batch.count
            if missing <= 0:
                break
            remaining = deadline - time.monotonic()
            if first or remaining > 0.0:
                self._ask(missing, remaining)
            first = False
            begin = time.monotonic()
            if not self._reader.expected or not self._wait(deadline + grace):
                self._raise_why(batch_size, timeout)
            waited = time.monotonic() - begin
        self._ask(0, 0.0)
        return batch.take(batch_size)

    def _ask(self, missing: int, seconds: float) -> None:
        """Ask for samples, ahead of need as far as that is wanted."""
        expected = self._reader.expected
        samples = missing + self._prefetch - expected
        urgent = expected < missing
        if samples <= 0 or (not urgent and samples < min(_WORTHWHILE, self._prefetch // 2)):
            return
        if self._prefetch or seconds > _MOST_REQUEST_SECONDS:
            seconds = _MOST_REQUEST_SECONDS
        request = messages.SampleRequest(
            table=self._table,
            num_samples=samples,
            # 0 would be for ever
            rate_limiter_timeout={"milliseconds": max(int(seconds * 1000), 1)},
        )
        self._reader.expected += samples
        with self._changed:
            self._unsent.append(request.SerializeToString())
            self._changed.notify_all()
        if self._thread is None:
            self._thread = Thread(target=self._run, name="reverb-sampler", daemon=True)
            self._thread.start()

    def _wait(self, deadline: float) -> bool:
        """Wait until something arrives, or replay is closed; return whether it did in time."""
        with self._changed:
            while not self._arrived and not self._connection.closed.is_set():
                remaining = deadline - time.monotonic()
                if remaining <= 0.0:
                    return False
                self._changed.wait(min(remaining, TIMEOUT_MAX))
        return True

    def _read(self, batch_size: int) -> bool:
        """Take what has arrived, as far as the batch needs it.

        Returns:
            Whether it came as late as it did because of the limiter.
        """
        reader = self._reader
        held_back = reader.held_back
        limited = False
        while reader.batch.count < batch_size:
            if reader.hungry:
                with self._changed:
                    if not self._arrived:
                        break
                    arrived = self._arrived.popleft()
                if isinstance(arrived, _Ended):
                    reader.interrupt()
                    limited = limited or arrived.error is None
                    self._failure = arrived.error
                    if isinstance(arrived.error, SignatureError):
                        raise arrived.error
                    continue
                self._failure = None
                reader.feed(arrived)
            try:
                reader.read(batch_size)
            except BrokenStreamError:
                self._abandon()
                raise
        return limited or reader.held_back > held_back

    def _abandon(self) -> None:
        """End the stream from this side, and drop what came of it."""
        with self._changed:
            self._arrived.clear()
            call = self._call
        if call is not None:
            call.cancel()

    def _raise_why(self, batch_size: int, timeout: float) -> NoReturn:
        waited = (
            f"Table {self._table!r} waited {timeout:.3g} s for {batch_size} samples and has "
            f"drawn {self._reader.batch.count}"
        )
        if self._failure is not None:
            raise ReplayUnavailable(f"{waited}. {self._failure}")
        try:
            limiter = self._connection.limiters()[self._table]
        except ReplayUnavailable as error:
            raise ReplayUnavailable(f"{waited}. {error}") from None
        why = limiter.why_no_sample()
        if limiter.samplable(1):
            why = "the server has not sent them yet, though its limiter admits samples"
        raise ReplayTimeout(f"{waited}: {why}.")

    # --- in the sampler's thread -----------------------------------------------------------

    def _run(self) -> None:
        connected = False
        closed = self._connection.closed
        while True:
            with self._changed:
                while not self._unsent and not closed.is_set():
                    self._changed.wait()
            if closed.is_set():
                return
            try:
                if not connected:
                    self._connection.check_tables()
                    connected = True
                self._exchange()
            except (grpc.RpcError, GreenroomError, ValueError) as error:
                connected = _is_limiter(error)
                self._end(None if connected else self._connection.lost("samples", error))
            if not connected:
                closed.wait(RETRY_SECONDS)

    def _exchange(self) -> None:
        """Send requests and take samples until the stream ends."""
        with self._changed:
            self._stream += 1
            requests = self._requests(self._stream)
            self._call = call = self._connection.sample_stream(requests)
        for response in call:
            with self._changed:
                self._arrived.append(response)
                self._changed.notify_all()
        raise ReplayUnavailable(f"The replay server at {self._connection.address} ended a stream.")

    def _end(self, error: GreenroomError | None) -> None:
        with self._changed:
            self._stream += 1
            self._unsent.clear()
            self._arrived.append(_Ended(error))
            self._changed.notify_all()

    def _requests(self, stream: int) -> Iterator[bytes]:
        """Yield requests for one stream; in a thread of gRPC's, until the stream ends."""
        while True:
            with self._changed:
                while not self._unsent and stream == self._stream:
                    self._changed.wait()
                if stream != self._stream:
                    return
                request = self._unsent.popleft()
            yield request

    def _wake(self) -> None:
        with self._changed:
            self._stream += 1
            self._changed.notify_all()


def _is_limiter(error: Exception) -> bool:
    """Whether a stream ended because nothing was admitted for as long as a request waits."""
    if not isinstance(error, grpc.Call):
        return False
    return bool(error.code() is grpc.StatusCode.DEADLINE_EXCEEDED)
