"""The learner's service: variables out, counts and evaluations in, the stop order."""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final

from torch import Tensor

from greenroom.core import Variables
from greenroom.variables import serving
from greenroom.variables.evaluations import Evaluations
from greenroom.variables.grants import LOST_SECONDS, Grants
from greenroom.variables.journal import CountsJournal
from greenroom.variables.local import LocalVariables
from greenroom.variables.messages import (
    ActorOrder,
    ActorReport,
    Done,
    EvaluationReport,
    LogText,
    VariablesHeader,
    VariablesRequest,
    decode,
    encode,
)
from greenroom.variables.snapshots import Snapshot

SHIPPING_ROLES: Final = ("replay", "evaluator")
"""Whose logs are kept here."""

KEPT_RETURNS: Final = 10_000

SEEN_SECONDS: Final = 600.0
"""An actor that has not reported for so long is not shown any more."""


@dataclass(frozen=True)
class SeenActor:
    """An actor's newest report, and how long ago that came, in seconds."""

    report: ActorReport
    seconds_ago: float


class LearnerService:
    """What the other processes of a run know of the learner.

        journal = CountsJournal(run_directory / "counts.jsonl")
        service = LearnerService(
            "127.0.0.1", 0, token, journal, unroll_steps=160, environment_steps=200_000
        )
        service.publish(version=0, values=learner.variables())
        service.evaluations.request(environment_steps=0, version=0)
        ...
        service.stop_actors()           # they leave at their next report, a second at most
        service.close()
        journal.close()

    `publish` and `get` are those of `LocalVariables`; nobody who asks over the network
    holds the publisher up. Everything may be called from any thread.

    Attributes:
        port: where it listens.
        counts: of all actors; what is in it, is on the disk.
        evaluations: to be requested and taken by the learner.

    Args:
        host: the address to listen on: "127.0.0.1", or "[::]" for all.
        port: 0 for any that is free.
        token: the run's; a call without it is refused.
        counts: with a checkpoint's counts in it; stays open when the service closes.
        unroll_steps: environment steps of one unroll of all environments of an actor.
        environment_steps: where the experiment ends, None if it has no such limit.
        keep_log: takes the name of a role and lines of its log; None keeps no logs.

    Raises:
        ConfigurationError: the token cannot be one, or the address is not this machine's.
        GreenroomError: somebody listens on the port.
    """

    def __init__(
        self,
        host: str,
        port: int,
        token: str,
        counts: CountsJournal,
        *,
        unroll_steps: int,
        environment_steps: int | None,
        keep_log: Callable[[str, str], None] | None = None,
    ) -> None:
        self.counts = counts
        self._keep_log = keep_log
        self._newest_log: dict[str, tuple[str, int]] = {}
        self._learner = uuid.uuid4().hex
        self.evaluations = Evaluations(self._learner)
        self._grants = Grants(
            environment_steps,
            unroll_steps,
            unknown=counts.counts.actors(),
            unknown_until=time.monotonic() + LOST_SECONDS,
        )
        self._variables = LocalVariables()
        self._snapshot: Snapshot | None = None
        self._lock = threading.Lock()  # of the attributes below, and of the grants
        self._stopping = False
        self._actors: dict[str, tuple[ActorReport, float]] = {}
        self._returns: deque[float] = deque(maxlen=KEPT_RETURNS)
        self._server = serving.GrpcServer(
            host,
            port,
            token,
            unary={
                serving.REPORT_ACTOR: lambda request: encode(
                    self._take_report(decode(ActorReport, request))
                ),
                serving.NEXT_EVALUATION: lambda _: encode(self.evaluations.next_order()),
                serving.REPORT_EVALUATION: self._take_evaluation,
                serving.APPEND_LOG: self._append_log,
            },
            streaming={serving.GET_VARIABLES: self._send_variables},
        )
        self.port = self._server.port

    # --- the learner's side ----------------------------------------------------------

    def publish(self, version: int, values: Mapping[str, Tensor]) -> None:
        """Make a copy of ``values`` the newest, as ``version`` (learner steps).

        Raises:
            TypeError: a variable has a dtype that safetensors has not.
        """
        self._variables.publish(version, values)
        newest = self._variables.get(version - 1)
        assert newest is not None
        self._snapshot = Snapshot(newest)  # one assignment: atomic for those who ask

    def get(self, newer_than: int) -> Variables | None:
        """Return the newest variables, or None if they are not newer than that version."""
        return self._variables.get(newer_than)

    def stop_actors(self) -> None:
        """Tell each actor to leave when it reports next."""
        with self._lock:
            self._stopping = True

    def end_at(self, environment_steps: int | None) -> None:
        """Change where the experiment ends, None for no such limit."""
        with self._lock:
            self._grants.limit = environment_steps

    def reporting(self) -> int:
        """Return how many actors have reported within 10 seconds."""
        return sum(actor.seconds_ago < LOST_SECONDS for actor in self.actors().values())

    def actors(self) -> dict[str, SeenActor]:
        """Return the actors that have reported to this process lately, by name."""
        now = time.monotonic()
        with self._lock:
            return {
                name: SeenActor(report, now - seen) for name, (report, seen) in self._actors.items()
            }

    def take_returns(self) -> list[float]:
        """Return the returns of episodes that actors finished since the last call.

        In order of arrival, the newest 10,000 at most; of one report, 100 at most.
        """
        with self._lock:
            returns = list(self._returns)
            self._returns.clear()
            return returns

    def close(self) -> None:
        """Stop listening; what is being answered gets half a second more."""
        self._server.close()

    # --- the network's side ----------------------------------------------------------

    def _send_variables(self, payload: bytes) -> Iterator[bytes]:
        """Return nothing, or a header and the bytes in pieces."""
        request = decode(VariablesRequest, payload)
        known = request.newer_than if request.learner in ("", self._learner) else -1
        snapshot = self._snapshot
        if snapshot is None or snapshot.variables.version <= known:
            return iter(())
        chunks = snapshot.chunks()
        header = VariablesHeader(snapshot.variables.version, self._learner, sum(map(len, chunks)))
        return chain([encode(header)], chunks)

    def _take_report(self, report: ActorReport) -> ActorOrder:
        new_episodes = self.counts.record(report)
        counts = self.counts.counts
        incarnations = counts.incarnations(report.actor)
        newest = report.incarnation == incarnations[-1]
        now = time.monotonic()
        with self._lock:
            if new_episodes:
                self._returns.extend(report.recent_returns[-new_episodes:])
            total = counts.total.environment_steps
            limit = self._grants.limit
            over = limit is not None and total >= limit
            stop = over or self._stopping or not newest
            if newest:
                self._see(report, now)
            return ActorOrder(
                environment_steps=total,
                incarnation_number=incarnations.index(report.incarnation),
                steps_until_report=0 if stop else self._grants.grant(report, total, now),
                stop=stop,
                actors=max(1, self._grants.actors),
            )

    def _see(self, report: ActorReport, now: float) -> None:
        if report.actor not in self._actors:  # those that are gone make room
            self._actors = {
                name: (newest, seen)
                for name, (newest, seen) in self._actors.items()
                if now - seen < SEEN_SECONDS
            }
        self._actors[report.actor] = report, now

    def _take_evaluation(self, payload: bytes) -> bytes:
        self.evaluations.report(decode(EvaluationReport, payload))
        return encode(Done())

    def _append_log(self, payload: bytes) -> bytes:
        log = decode(LogText, payload)
        if self._keep_log is None or log.role not in SHIPPING_ROLES:
            raise ValueError(
                f"Logs are kept of {' and '.join(SHIPPING_ROLES)}, by a learner that keeps any. "
                f"Got: one of {log.role!r:.80}."
            )
        batch = log.sender, log.number
        if self._newest_log.get(log.role) != batch:
            self._keep_log(log.role, log.text)
            self._newest_log[log.role] = batch
        return encode(Done())
