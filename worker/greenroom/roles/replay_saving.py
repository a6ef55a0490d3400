"""When the replay role writes checkpoints: at an interval and at the end, if anything changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from greenroom.errors import CheckpointError
from greenroom.replay.checkpoints import ReplayCheckpoint

if TYPE_CHECKING:
    from greenroom.replay.server import ReplayServer, ServedTable

logger = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 5.0
# A large replay takes minutes; a disk that has not taken it by then never will.
LONGEST_SECONDS: Final = 15 * 60.0


class Saving:
    """Writes one server's checkpoints, in a thread, so that the main loop goes on turning.

        saving = Saving(server, interval=300.0, counts=learner_counts, metrics=metrics)
        while not stop.wait(1.0):
            saving.turn(server.info(timeout=5.0))
        saving.finish(endpoint.alive)

    Args:
        server: whose; just started.
        interval: seconds between checkpoints.
        counts: returns the learner's, to be kept beside each checkpoint.
        metrics: of all servers of this process.
    """

    def __init__(
        self,
        server: ReplayServer,
        interval: float,
        counts: Callable[[], Mapping[str, int]],
        metrics: SavingMetrics,
    ) -> None:
        # At first the one that the server was restored from.
        self._newest: ReplayCheckpoint | None = server.restored
        self._server = server
        self._interval = interval
        self._counts = counts
        self._metrics = metrics
        if self._newest is not None:
            metrics.written.set(self._newest.written)
        self._next = time.monotonic() + interval
        self._began = 0.0
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._running: Future[ReplayCheckpoint] | None = None
        # The counts of the tables when they were last as on the disk.
        self._saved = _contents(server.info(ANSWER_SECONDS))
        self._being_saved = self._saved

    @property
    def running(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._running is not None

    @property
    def hangs(self) -> bool:
        """Whether that has taken so long that the process counts as hung."""
        return (
            self._running is not None
            and not self._running.done()
            and time.monotonic() - self._began > LONGEST_SECONDS
        )

    def turn(self, tables: Mapping[str, ServedTable]) -> None:
        """Take note of a checkpoint that is done; begin the next if it is due and has news."""
        if self._running is not None and self._running.done():
            self._take(self._running)
        if self._running is None and time.monotonic() >= self._next:
            self._next = time.monotonic() + self._interval
            self._begin(tables)

    def finish(self, beat: Callable[[], None]) -> None:
        """Write what is not saved yet, and wait for that.

        ``beat`` is called every second, unless it `hangs`: whoever asked to stop, or probes,
        ends the process then, as nothing in it can end a write to a disk.

        Raises:
            ReplayUnavailable: the server does not say whether there is anything.
        """
        self._wait(beat)
        self._begin(self._server.info(ANSWER_SECONDS))
        self._wait(beat)
        self._thread.shutdown()

    def status(self) -> dict[str, Any] | None:
        """Return where the newest checkpoint is and how old, as JSON values."""
        newest = self._newest
        if newest is None:
            return None
        age = max(0.0, time.time() - newest.written)
        return {"path": str(newest.path), "ageSeconds": round(age, 3), **newest.counts}

    def _begin(self, tables: Mapping[str, ServedTable]) -> None:
        contents = _contents(tables)
        if contents != self._saved:
            self._being_saved = contents
            self._began = time.monotonic()
            self._running = self._thread.submit(self._save)

    def _save(self) -> ReplayCheckpoint:
        with self._metrics.seconds.time():
            return self._server.checkpoint(self._counts())

    def _wait(self, beat: Callable[[], None]) -> None:
        while self._running is not None:
            if not self.hangs:
                beat()
            if wait([self._running], timeout=1.0).done:
                self._take(self._running)

    def _take(self, done: Future[ReplayCheckpoint]) -> None:
        self._running = None
        try:
            self._newest = done.result()
        except CheckpointError as error:
            self._metrics.failures.inc()
            logger.error("replay was not saved: %s", error)
            return
        self._saved = self._being_saved
        self._metrics.written.set(self._newest.written)
        logger.info("replay saved: %s", self._newest.path)


class SavingMetrics:
    """Metrics of checkpoints.

    Attributes:
        written: when the newest was, in seconds since 1970.
        seconds: how long the newest took.
        failures: how many could not be written.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        name = "greenroom_replay_checkpoint"
        self.written = Gauge(
            f"{name}_timestamp_seconds",
            "When the newest checkpoint was written.",
            registry=registry,
        )
        self.seconds = Gauge(
            f"{name}_duration_seconds", "How long the newest checkpoint took.", registry=registry
        )
        self.failures = Counter(
            f"{name}_failures", "Checkpoints that could not be written.", registry=registry
        )


def _contents(tables: Mapping[str, ServedTable]) -> dict[str, tuple[int, int, int]]:
    """Return what changes whenever a table does, but for priorities alone."""
    return {
        name: (served.table.inserts, served.table.samples, served.table.deletes)
        for name, served in tables.items()
    }
