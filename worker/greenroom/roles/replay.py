"""The replay role: a Reverb server that is saved, restored and observed.

It needs a description of its tables and nothing else of the experiment: no agent, no
environment, no torch. Where the learner describes the tables it may start later, or be
down while replay starts again: then the copy of its last description serves until it
answers, and its answer wins.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, ProcessCollector

from greenroom.errors import ConfigurationError, LearnerUnavailable, ReplayUnavailable
from greenroom.observability.endpoint import Endpoint
from greenroom.ports import check_port_is_free
from greenroom.replay.checkpoints import ReplayCheckpoint, ReplayCheckpoints
from greenroom.replay.descriptions import Json, differences, tables_from_json
from greenroom.roles.lifetime import RoleStop
from greenroom.roles.replay_report import TablesCollector, tables_detail, tables_status
from greenroom.roles.replay_saving import LONGEST_SECONDS, Saving, SavingMetrics
from greenroom.roles.serving import START_SECONDS
from greenroom.roles.tables import TablesSource

if TYPE_CHECKING:
    from greenroom.replay.server import ReplayServer, ServedTable

logger = logging.getLogger(__name__)

TURN_SECONDS = 1.0
RETRY_SECONDS = 0.5
ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class ReplayOptions:
    """What the command line says.

    Attributes:
        tables: path or URL of the description of the tables.
        port: where Reverb listens, on every interface.
        host, http_port: where the HTTP endpoint listens; 0 lets the system choose.
        checkpoint_directory: where checkpoints are; None if nothing is to be saved.
        checkpoint_seconds: between checkpoints.
    """

    tables: str
    port: int
    host: str
    http_port: int
    checkpoint_directory: Path | None
    checkpoint_seconds: float

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 65535:
            raise ConfigurationError(
                "The replay server needs a port from 1 to 65535; Reverb hangs on 0 instead of "
                f"choosing one. Got: {self.port}."
            )


def run_replay(
    options: ReplayOptions, stop: RoleStop, registry: CollectorRegistry | None = None
) -> None:
    """Serve until asked to stop, then save.

    Args:
        options: what the command line says.
        stop: the request to stop.
        registry: where its metrics go, beside others of the process.

    Raises:
        ConfigurationError: there are no such tables, or Reverb is not installed.
        GreenroomError: a port is not free, or the checkpoint directory cannot be written or is
            another server's.
    """
    role = ReplayRole(options, stop, registry or CollectorRegistry())
    with Endpoint(
        options.host,
        options.http_port,
        role="replay",
        registry=role.registry,
        status=role.status,
    ) as endpoint:
        logger.info("status and metrics are at http://%s:%d", options.host, endpoint.port)
        role.run(endpoint)


class ReplayRole:
    """One process of the role.

    Attributes:
        registry: its metrics.
    """

    def __init__(self, options: ReplayOptions, stop: RoleStop, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._options = options
        self._stop = stop
        self._source = TablesSource(options.tables, options.checkpoint_directory)
        self._reason: str | None = "starting"
        self._tables: Mapping[str, ServedTable] = {}
        self._restored: ReplayCheckpoint | None = None
        self._belongs: str | None = None
        # The learner's, as it told them last.
        self._counts: Mapping[str, int] = {}
        self._saving: Saving | None = None
        self._saving_metrics = SavingMetrics(self.registry)
        self.registry.register(TablesCollector(lambda: self._tables))
        ProcessCollector(registry=self.registry)

    def run(self, endpoint: Endpoint) -> None:
        """Serve until asked to stop; see `run_replay`."""
        # What is wrong with the port, a file or the directory is said before seconds of loading.
        check_port_is_free(self._options.port, "The replay server")
        description = None if self._source.from_learner else self._source.read()
        directory = self._options.checkpoint_directory
        with ExitStack() as stack:
            checkpoints = None
            if directory is not None:
                checkpoints = stack.enter_context(closing(ReplayCheckpoints(directory)))
            self._ready(endpoint, "loading TensorFlow")
            endpoint.alive(START_SECONDS)
            import greenroom.replay.server  # noqa: F401

            if description is None:
                description = self._wait_for_tables(endpoint)
            while description is not None:
                description = self._serve(description, checkpoints, endpoint)

    def status(self) -> dict[str, Any]:
        """Return what ``/status`` shows, as JSON values."""
        saving, restored = self._saving, self._restored
        return {
            "state": "serving" if self._reason is None else "waiting",
            "detail": self._reason or tables_detail(self._tables),
            "port": self._options.port,
            "tables": tables_status(self._tables),
            "checkpoint": saving.status() if saving else None,
            "restored": restored
            and {"path": str(restored.path), **restored.counts, "belongs": self._belongs},
        }

    def _ready(self, endpoint: Endpoint, reason: str | None = None) -> None:
        self._reason = reason
        endpoint.ready(reason)

    def _wait_for_tables(self, endpoint: Endpoint) -> Json | None:
        """Return the learner's description, or the copy; None if asked to stop before."""
        while True:
            try:
                description = self._source.read()
            except LearnerUnavailable as error:
                copy = self._source.copy()
                if copy is not None:
                    logger.info("starting with the copy of the learner's tables: %s", error)
                    return copy
                if not (self._reason or "").startswith("waiting"):
                    logger.info("waiting for tables: %s", error)
                self._ready(endpoint, f"waiting for tables: {error}")
            else:
                return description
            endpoint.alive()
            if self._stop.wait(RETRY_SECONDS):
                return None

    def _serve(
        self, description: Json, checkpoints: ReplayCheckpoints | None, endpoint: Endpoint
    ) -> Json | None:
        """Serve these tables until asked to stop.

        Returns:
            None; or what the learner describes instead, if that is something else.
        """
        from greenroom.replay.server import ReplayServer

        options = self._options
        self._ready(endpoint, "starting the Reverb server")
        tables = tables_from_json(description)
        endpoint.alive(START_SECONDS)  # it reads its newest checkpoint
        with ReplayServer(tables, options.port, checkpoints) as server:
            names = ", ".join(table.name for table in tables)
            logger.info("serving %s on port %d of every interface", names, options.port)
            self._restored, self._belongs = server.restored, None
            self._counts = server.restored.counts if server.restored else {}
            if checkpoints is not None:
                self._saving = Saving(
                    server, options.checkpoint_seconds, lambda: self._counts, self._saving_metrics
                )
            self._observe(server, endpoint)
            instead = self._turn_until_stopped(server, description, endpoint)
            self._ready(endpoint, "stopping")
            if self._saving is not None:
                self._saving.finish(endpoint.alive)
        return instead

    def _turn_until_stopped(
        self, server: ReplayServer, description: Json, endpoint: Endpoint
    ) -> Json | None:
        while not self._stop.wait(TURN_SECONDS):
            self._observe(server, endpoint)
            instead = self._learner_wants_others(description)
            if instead is not None:
                return instead
            self._ask_learner()
            if self._saving is not None:
                self._saving.turn(self._tables)
        logger.info("stopping: %s", self._stop.reason)
        return None

    def _observe(self, server: ReplayServer, endpoint: Endpoint) -> None:
        saving, reason = self._saving, None
        try:
            self._tables = server.info(ANSWER_SECONDS)
        except ReplayUnavailable as error:
            reason = str(error)
        if saving is not None and saving.hangs:
            reason = (
                f"a checkpoint must be written within {LONGEST_SECONDS:g} s; the disk of "
                f"{self._options.checkpoint_directory} has not taken it"
            )
            if reason != self._reason:
                logger.error("%s", reason)
        self._ready(endpoint, reason)
        # Otherwise whoever probes will find the process hung, if that goes on.
        if reason is None or (saving is not None and saving.running and not saving.hangs):
            endpoint.alive()

    def _learner_wants_others(self, description: Json) -> Json | None:
        """Compare what is served with what the learner says, which an edit may change."""
        if not self._source.from_learner:
            return None
        try:
            wanted = self._source.read()
        except LearnerUnavailable:
            return None
        changes = differences(description, wanted)
        if not changes:
            return None
        logger.warning(
            "the learner describes other tables than are served; starting again: %s",
            "; ".join(changes),
        )
        return wanted

    def _ask_learner(self) -> None:
        """Note how far the learner is, and once, how far it was when what is restored was saved.

        It is asked all along, since it ends before replay saves for the last time.
        """
        counts = self._source.counts()
        if not counts:
            return
        self._counts = counts
        if self._restored is not None and self._belongs is None:
            saved = self._restored.counts
            self._belongs = (
                f"restored replay belongs to {_steps(saved)}; the learner is at {_steps(counts)}"
            )
            level = logging.INFO if saved == counts else logging.WARNING
            logger.log(level, "%s", self._belongs)


def _steps(counts: Mapping[str, int]) -> str:
    if not counts:
        return "steps that are not known"
    return f"learner step {counts['learnerSteps']}, environment step {counts['environmentSteps']}"
