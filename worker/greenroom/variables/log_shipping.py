"""A role's log on its way to the learner, which keeps it; without torch."""

from __future__ import annotations

import logging
import threading
import uuid
from collections import deque
from typing import Final

import grpc

from greenroom.variables import serving
from greenroom.variables.messages import LogText, encode

PERIOD_SECONDS: Final = 1.0
CALL_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 2.0
BATCH_BYTES: Final = 64 * 2**10
BUFFER_BYTES: Final = 2**20


class LogShipper(logging.Handler):
    """Sends what is logged to the learner, in a thread: whoever logs never waits.

        shipper = LogShipper("replay", "learner:7001", token)
        logging.getLogger().addHandler(shipper)
        ...
        shipper.close()                  # the last lines get two seconds

    While the learner is away, lines wait here: `BUFFER_BYTES` of them; then the oldest are
    dropped, which the log says where they are missing.

    Args:
        role: whose log it is.
        learner: HOST:PORT of the learner's service.
        token: the run's.

    Attributes:
        dropped_bytes: that never arrived.

    Raises:
        ConfigurationError: the token cannot be one.
    """

    def __init__(self, role: str, learner: str, token: str) -> None:
        super().__init__()
        self.dropped_bytes = 0
        self._role = role
        self._sender = uuid.uuid4().hex
        self._metadata = ((serving.AUTHORIZATION, serving.authorization(token)),)
        self._lines: deque[str] = deque()
        self._bytes = 0
        self._unsaid = 0  # bytes dropped of which the log does not say so yet
        self._under_way: LogText | None = None
        self._number = 0
        self._changing = threading.Lock()
        self._closing = threading.Event()
        self._learner = learner
        self._connect()
        self._thread = threading.Thread(target=self._run, name="log-shipper", daemon=True)
        self._thread.start()

    def _connect(self) -> None:
        self._channel = grpc.insecure_channel(self._learner, options=serving.CHANNEL_OPTIONS)
        self._append: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(
            f"/{serving.SERVICE}/{serving.APPEND_LOG}"
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Have a line sent."""
        line = self.format(record)[:BATCH_BYTES] + "\n"
        with self._changing:
            self._lines.append(line)
            self._bytes += _size(line)
            while self._bytes > BUFFER_BYTES:
                self._drop(_size(self._lines.popleft()))

    def close(self) -> None:
        """Send what is left, for two seconds at most."""
        self._closing.set()
        self._thread.join(CLOSE_SECONDS)
        self._channel.close()
        super().close()

    def _drop(self, size: int) -> None:
        self._bytes -= size
        self._unsaid += size
        self.dropped_bytes += size

    def _run(self) -> None:
        while not self._closing.wait(PERIOD_SECONDS):
            self._send_all()
        self._send_all()

    def _send_all(self) -> None:
        """Send until nothing is left, or the learner does not take it."""
        while True:
            batch = self._under_way or self._next_batch()
            if batch is None:
                return
            self._under_way = batch
            try:
                self._append(encode(batch), timeout=CALL_SECONDS, metadata=self._metadata)
            except (grpc.RpcError, ValueError):  # a ValueError: the channel was closed
                # Beside Reverb's own gRPC a channel was seen to try nothing more for minutes,
                # with the learner in reach; why is not known. A new one does.
                if not self._closing.is_set():
                    self._channel.close()
                    self._connect()
                return
            self._under_way = None

    def _next_batch(self) -> LogText | None:
        with self._changing:
            lines: list[str] = []
            size = 0
            while self._lines and size + _size(self._lines[0]) <= 2 * BATCH_BYTES:
                size += _size(self._lines[0])
                lines.append(self._lines.popleft())
            self._bytes -= size
            if not lines:
                return None
            if self._unsaid:
                lines.insert(0, f"{self._unsaid} bytes of this log are missing here: dropped\n")
                self._unsaid = 0
        batch = LogText(self._role, self._sender, self._number, "".join(lines))
        self._number += 1
        return batch


def _size(line: str) -> int:
    return len(line.encode(errors="replace"))
