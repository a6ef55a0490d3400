"""The Reverb server: the one module that imports ``reverb``, and with it TensorFlow.

    with ReplayServer(tables, port=8000, checkpoints=checkpoints) as server:
        server.info(timeout=5.0)["transitions"].table.size
        server.checkpoint({"learnerSteps": 500, "environmentSteps": 1000})

It listens on every interface of the machine, as Reverb leaves no choice, and asks nobody
who they are: a network that is not trusted must be kept away from the port.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import optree

from greenroom.errors import (
    CheckpointError,
    ConfigurationError,
    GreenroomError,
    ReplayUnavailable,
)
from greenroom.replay.checkpoints import ReplayCheckpoint, ReplayCheckpoints
from greenroom.replay.descriptions import differences, tables_from_json, tables_to_json
from greenroom.replay.tables import Fifo, Lifo, Prioritized, Selector, Table, TableInfo, Uniform
from greenroom.specs import ArraySpec

# TensorFlow announces its optimizations and what it did not find.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# This process calls its own server alone; a proxy of the network cannot reach that.
os.environ["no_grpc_proxy"] = "127.0.0.1"  # noqa: SIM112  gRPC reads it so
try:
    import reverb
    import tensorflow as tf
    from reverb.platform import checkpointers_lib
except ImportError as error:
    raise ConfigurationError(
        "The replay server needs dm-reverb and TensorFlow, which are built for CPython 3.11 on "
        f"Linux: pip install 'greenroom[replay]'. Got: {error}."
    ) from error

logger = logging.getLogger(__name__)

# Reverb's checkpointer must have some path; nothing can be written under this one.
NOWHERE: Final = "/dev/null/no-checkpoint-directory"
REVERB_LOG: Final = "reverb.log"
START_SECONDS: Final = 10.0


@dataclass(frozen=True)
class ServedTable:
    """A table's state at one moment, and what its worker thread has done.

    Attributes:
        table: its counts and its limiter. The waits are the worker's: while it has only
            inserts (or only samples) to do and the limiter admits none.
        worker_seconds: by state, since this server began: ``running``, ``sampling``,
            ``inserting``, ``sleeping``, ``waiting_for_sampling`` and ``waiting_for_inserts``.
    """

    table: TableInfo
    worker_seconds: Mapping[str, float]


class ReplayServer:
    """A running Reverb server with these tables, restored from its newest checkpoint.

    A checkpoint of other tables is not restored: the server starts empty and the log says
    what differs. The newest checkpoint of equal tables that Reverb can read is.

    Args:
        tables: at least one, with names of their own.
        port: where it listens, on every interface; Reverb hangs on 0 instead of choosing one.
        checkpoints: where to, open for as long as it serves; None if nothing is to be saved.

    Attributes:
        restored: the checkpoint that it began with; None if it began empty.

    Raises:
        ConfigurationError: tables that have no description.
        GreenroomError: nothing can listen on the port.
        ReplayUnavailable: it was started and does not answer.
    """

    def __init__(
        self, tables: Sequence[Table], port: int, checkpoints: ReplayCheckpoints | None = None
    ) -> None:
        assert port, "Reverb hangs on port 0 instead of choosing one"
        self._description = tables_to_json(tables)
        self._checkpoints = checkpoints
        self._port = port
        lines = checkpoints.directory / REVERB_LOG if checkpoints else Path(os.devnull)
        self._lines = lines.open("w")
        self._redirecting = threading.Lock()
        self.restored: ReplayCheckpoint | None = None
        self._server = self._restore() or self._start(None)
        self._client = reverb.Client(f"127.0.0.1:{port}")
        self._wait_for_answer()

    def info(self, timeout: float) -> Mapping[str, ServedTable]:
        """Return each table's state now, by name.

        Raises:
            ReplayUnavailable: the server did not answer within ``timeout`` seconds.
        """
        try:
            # Whole seconds: a fraction would become 0, which is none.
            answer = self._client.server_info(timeout=max(1, round(timeout)))
        except (reverb.errors.ReverbError, RuntimeError) as error:
            raise ReplayUnavailable(
                f"The Reverb server on port {self._port} must answer within {timeout:g} s. "
                f"Got: {error}."
            ) from error
        return {name: _served_table(info) for name, info in answer.items()}

    def checkpoint(self, counts: Mapping[str, int]) -> ReplayCheckpoint:
        """Write a checkpoint; takes as long as the disk needs. Peers wait for moments of it only.

        Args:
            counts: the learner's, kept beside it.

        Raises:
            CheckpointError: there is no directory for it, or it could not be written; the one
                before it stands.
        """
        if self._checkpoints is None:
            raise CheckpointError("A replay checkpoint needs a directory. Got: none.")
        self._checkpoints.sweep()
        try:
            # What is printed of a checkpoint replaces what was printed of the one before.
            self._lines.seek(0)
            self._lines.truncate()
            with self._reverb_lines_in_file():
                written = Path(self._client.checkpoint())
        except (reverb.errors.ReverbError, RuntimeError, OSError) as error:
            raise CheckpointError(
                f"Reverb must be able to write to {self._checkpoints.writing}. Got: {error}."
            ) from error
        return self._checkpoints.take(written, self._description, counts)

    def stop(self) -> None:
        """Stop serving; streams that are open end with an error."""
        with self._reverb_lines_in_file():
            self._server.stop()
        self._lines.close()
        # It would return the port to a picker that did not choose it, which logs that.
        vars(self._server).pop("_port", None)

    def __enter__(self) -> ReplayServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _wait_for_answer(self) -> None:
        """Wait until the server answers itself.

        After an earlier server of this process on the port, gRPC's first calls still go to that.
        """
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.info(timeout=START_SECONDS)
            except ReplayUnavailable:
                if time.monotonic() > deadline:
                    self.stop()
                    raise
                time.sleep(0.05)
            else:
                return

    def _restore(self) -> Any:
        """Return the server with the newest usable checkpoint in it, None without one."""
        for checkpoint in self._checkpoints.whole() if self._checkpoints else ():
            changes = differences(checkpoint.tables, self._description)
            if changes:
                logger.warning(
                    "replay starts empty: checkpoint %s is of other tables: %s",
                    checkpoint.path,
                    "; ".join(changes),
                )
                return None
            logger.info("restoring %s; nothing is answered until that is done", checkpoint.path)
            try:
                server = self._start(checkpoint.path)
            except RuntimeError as error:
                logger.warning(
                    "replay checkpoint passed over: Reverb cannot read %s: %s",
                    checkpoint.path,
                    error,
                )
                continue
            self.restored = checkpoint
            return server
        logger.info("replay starts empty: there is no checkpoint to restore")
        return None

    def _start(self, checkpoint: Path | None) -> Any:
        root = str(self._checkpoints.writing) if self._checkpoints else NOWHERE
        # A selector belongs to one table: Reverb crashes where two share one.
        tables = [_reverb_table(table) for table in tables_from_json(self._description)]
        try:
            with self._reverb_lines_in_file():
                return reverb.Server(
                    tables,
                    self._port,
                    checkpointers_lib.DefaultCheckpointer(
                        root, fallback_checkpoint_path=str(checkpoint) if checkpoint else None
                    ),
                )
        except ValueError as error:
            raise GreenroomError(
                f"A Reverb server must be able to listen on its port. Got: port {self._port}: "
                f"{error}."
            ) from error

    @contextmanager
    def _reverb_lines_in_file(self) -> Iterator[None]:
        """Let what Reverb prints of its checkpoints go to a file, thousands of lines of it.

        It writes to the standard error's descriptor, whatever its log level. Greenroom's own
        log has another one (`greenroom.observability.logs`).
        """
        with self._redirecting:
            kept = os.dup(2)
            os.dup2(self._lines.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(kept, 2)
                os.close(kept)


def _reverb_table(table: Table) -> Any:
    limiter = table.limiter
    return reverb.Table(
        name=table.name,
        sampler=_reverb_selector(table.sampler),
        remover=_reverb_selector(table.remover),
        max_size=table.max_size,
        max_times_sampled=table.max_times_sampled,
        rate_limiter=reverb.rate_limiters.RateLimiter(
            samples_per_insert=limiter.samples_per_insert,
            min_size_to_sample=limiter.min_size,
            min_diff=limiter.min_diff,
            max_diff=limiter.max_diff,
        ),
        signature=optree.tree_map(_tensor_spec, table.signature),
    )


def _reverb_selector(selector: Selector) -> Any:
    match selector:
        case Uniform():
            return reverb.selectors.Uniform()
        case Fifo():
            return reverb.selectors.Fifo()
        case Lifo():
            return reverb.selectors.Lifo()
        case Prioritized(exponent):
            return reverb.selectors.Prioritized(exponent)


def _tensor_spec(spec: ArraySpec) -> Any:
    return tf.TensorSpec(spec.shape, tf.as_dtype(spec.dtype))


def _served_table(info: Any) -> ServedTable:
    limiter, times = info.rate_limiter_info, info.table_worker_time
    inserts, samples = limiter.insert_stats.completed, limiter.sample_stats.completed
    seconds = {
        field.name.removesuffix("_ms"): getattr(times, field.name) / 1e3
        for field in times.DESCRIPTOR.fields
    }
    table = TableInfo(
        name=info.name,
        size=info.current_size,
        max_size=info.max_size,
        inserts=inserts,
        samples=samples,
        deletes=inserts - info.current_size,
        diff=inserts * limiter.samples_per_insert - samples,
        min_diff=limiter.min_diff,
        max_diff=limiter.max_diff,
        samples_per_insert=limiter.samples_per_insert,
        min_size=limiter.min_size_to_sample,
        insert_wait_seconds=seconds["waiting_for_sampling"],
        sample_wait_seconds=seconds["waiting_for_inserts"],
    )
    return ServedTable(table, seconds)
