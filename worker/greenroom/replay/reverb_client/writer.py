"""A producer's way into a Reverb server."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from threading import TIMEOUT_MAX, Condition, Thread
from typing import Final, NoReturn

import grpc
import numpy as np

from greenroom.errors import GreenroomError, ReplayTimeout, ReplayUnavailable, SignatureError
from greenroom.replay.arguments import (
    check_max_pending,
    check_priorities,
    deadline_after,
    find_table,
    highest_priority,
)
from greenroom.replay.reverb_client import messages
from greenroom.replay.reverb_client.connection import RETRY_SECONDS, Connection
from greenroom.replay.reverb_client.items import ItemEncoder, random_keys
from greenroom.replay.reverb_client.layout import ItemLayout
from greenroom.replay.reverb_client.tensors import parse
from greenroom.replay.signature import Signature
from greenroom.replay.tables import Table
from greenroom.specs import Array, Tree

# A request is not worth making larger, and one item may be larger by itself.
_REQUEST_BYTES: Final = 256 * 1024


class _Destination:
    """A table as a writer sees it."""

    def __init__(self, table: Table) -> None:
        self.signature = Signature(table)
        self.encoder = ItemEncoder(ItemLayout(table.name, self.signature.specs))
        self.highest_priority = highest_priority(table)
        self.wait_seconds = 0.0


class ReverbWriter:
    """One producer's way into replay (`greenroom.core.Writer`).

    All tables share one stream. The server confirms an item when its table has admitted
    it, and stops reading when it has a tenth of a table (1,000 items at most) to admit:
    what waits for one table can then hold back what comes after it for another.

    An item is pending until it is confirmed. When the server goes away, what is pending is
    sent again, under the same keys, as soon as it is back: nothing pending is lost, and
    an item whose confirmation was lost may be inserted twice, if the first has left its
    table already. (Reverb 0.14, when its ``stop`` is called, confirms all that it was sent,
    also what it never admitted; a server that is killed does not.)

    A thread of the writer's own sends and receives, until replay is closed.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._destinations = {
            name: _Destination(table) for name, table in connection.tables.items()
        }
        self._generator = np.random.default_rng()  # keys, which no run is to repeat
        self._changed = Condition()
        # Everything below is used under the condition's lock. Dictionaries keep the order.
        self._pending: dict[int, tuple[str, bytes]] = {}  # by key
        self._unsent: deque[bytes] = deque()
        self._counts: Counter[str] = Counter()  # of what is pending, by table
        self._stream = 0  # which one is open: requests of another end
        self._connected = False
        self._failure: GreenroomError | None = None  # why it is not, once it was tried
        self._thread: Thread | None = None
        connection.on_close(self._wake)

    @property
    def pending(self) -> int:
        """How many items are not confirmed yet."""
        with self._changed:
            return len(self._pending)

    @property
    def wait_seconds(self) -> Mapping[str, float]:
        """For how long `flush` waited while the server was there, by table that it waited for."""
        return {name: one.wait_seconds for name, one in self._destinations.items()}

    def insert(self, table: str, items: Tree, priorities: Array) -> None:
        """Hand over K items: a tree of [K, ...] and priorities [K] float64. Never blocks.

        A leaf whose signature varies in length is a sequence of K arrays instead. The
        arrays are copied before this returns.

        Raises:
            SignatureError: the items are not the table's, or the server's table is another;
                none was taken.
            ValueError: a priority is negative or not finite; none was taken.
            ReplayClosed: replay was closed.
        """
        destination = find_table(self._destinations, table)
        priorities = check_priorities(table, priorities, destination.highest_priority)
        leaves = destination.signature.flatten(items, len(priorities))
        self._connection.check_open()
        if not len(priorities):
            return
        keys = random_keys(self._generator, len(priorities))
        parts = destination.encoder.encode(keys, leaves, priorities)
        with self._changed:
            self._raise_mismatch()
            self._pending.update(
                (key, (table, part)) for key, part in zip(keys.tolist(), parts, strict=True)
            )
            self._counts[table] += len(parts)
            self._unsent.extend(parts)
            self._changed.notify_all()
        if self._thread is None:
            self._thread = Thread(target=self._run, name="reverb-writer", daemon=True)
            self._thread.start()

    def flush(self, timeout: float, max_pending: int = 0) -> None:
        """Wait until at most ``max_pending`` items are pending, ``timeout`` seconds at most.

        Up to a second more is taken to find out why it was in vain.

        Raises:
            ReplayTimeout: more are pending still; they stay, and flush may be called again.
            ReplayUnavailable: because the server does not answer.
            SignatureError: the server's table is another.
            ReplayClosed: replay was closed.
        """
        deadline = deadline_after(timeout)
        check_max_pending(max_pending)
        with self._changed:
            while True:
                self._connection.check_open()
                self._raise_mismatch()
                if len(self._pending) <= max_pending:
                    return
                begin = time.monotonic()
                if begin >= deadline:
                    break
                waiting, connected = +self._counts, self._connected
                self._changed.wait(min(deadline - begin, TIMEOUT_MAX))
                if connected:
                    for table in waiting:
                        self._destinations[table].wait_seconds += time.monotonic() - begin
            waiting, failure = +self._counts, self._failure
        if failure is None:
            self._raise_why(waiting, timeout)
        raise _unavailable(waiting, timeout, failure)

    def _raise_mismatch(self) -> None:
        if isinstance(self._failure, SignatureError):
            raise SignatureError(str(self._failure))

    def _raise_why(self, waiting: Mapping[str, int], timeout: float) -> NoReturn:
        try:
            limiters = self._connection.limiters()
        except ReplayUnavailable as error:
            raise _unavailable(waiting, timeout, error) from None
        reasons = []
        for table, count in waiting.items():
            why = limiters[table].why_no_insert()
            if limiters[table].insertable(1):
                why = "the server has not confirmed them yet, though its limiter admits inserts"
            reasons.append(
                f"Table {table!r} waited {timeout:.3g} s to insert {count} items: {why}."
            )
        raise ReplayTimeout(" ".join(reasons))

    # --- in the writer's thread ------------------------------------------------------------

    def _run(self) -> None:
        closed = self._connection.closed
        while not closed.is_set():
            try:
                self._connection.check_tables()
                self._exchange()
            except (grpc.RpcError, GreenroomError, ValueError) as error:
                if closed.is_set():
                    return
                self._fail(error)
                closed.wait(RETRY_SECONDS)

    def _exchange(self) -> None:
        """Send what is pending and what comes, and take confirmations, until the stream ends."""
        with self._changed:
            self._connected, self._failure = True, None
            self._stream += 1
            self._unsent = deque(part for _, part in self._pending.values())
            requests = self._requests(self._stream)
            self._changed.notify_all()
        for response in self._connection.insert_stream(requests):
            keys = parse(messages.InsertResponse, response).keys
            with self._changed:
                for key in keys:
                    if key in self._pending:
                        table, _ = self._pending.pop(key)
                        self._counts[table] -= 1
                self._changed.notify_all()
        raise ReplayUnavailable(f"The replay server at {self._connection.address} ended a stream.")

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self._connected = False
            self._failure = self._connection.lost("inserts", error)
            self._stream += 1
            self._changed.notify_all()

    def _requests(self, stream: int) -> Iterator[bytes]:
        """Yield requests for one stream; in a thread of gRPC's, until `_fail` ends it."""
        while True:
            parts, size = [], 0
            with self._changed:
                while not self._unsent and stream == self._stream:
                    self._changed.wait()
                if stream != self._stream:
                    return
                while self._unsent and size < _REQUEST_BYTES:
                    parts.append(self._unsent.popleft())
                    size += len(parts[-1])
            yield b"".join(parts)

    def _wake(self) -> None:
        with self._changed:
            self._stream += 1
            self._changed.notify_all()


def _unavailable(
    waiting: Mapping[str, int], timeout: float, error: GreenroomError
) -> ReplayUnavailable:
    items = ", ".join(f"{count} items into table {table!r}" for table, count in waiting.items())
    return ReplayUnavailable(f"Waited {timeout:.3g} s to insert {items}. {error}")
