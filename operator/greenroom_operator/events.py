"""Kubernetes Events, posted beside reconciles: what a user would want to know."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Final

from greenroom_operator import reasons
from greenroom_operator.apply import Applied
from greenroom_operator.client import Api
from greenroom_operator.errors import OperatorError
from greenroom_operator.experiment import Experiment, Key
from greenroom_operator.kinds import EVENT, EXPERIMENT
from greenroom_operator.logs import about
from greenroom_operator.names import FIELD_MANAGER
from greenroom_operator.status import Event

logger = logging.getLogger(__name__)

# More than these wait only while the API server does not answer; the oldest are dropped.
MOST_WAITING: Final = 1_000


class EventPoster:
    """Posts events one after the other; one that cannot be posted is dropped.

    poster = EventPoster(api)
    tasks.create_task(poster.run())
    poster.post(("team", "x"), uid, Event("Normal", "Succeeded", "an evaluation returned 500"))
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._waiting: asyncio.Queue[tuple[Key, str, Event]] = asyncio.Queue()

    def post(self, key: Key, uid: str, event: Event) -> None:
        """Have an event posted."""
        if self._waiting.qsize() >= MOST_WAITING:
            self._waiting.get_nowait()
        self._waiting.put_nowait((key, uid, event))
        logger.info("%s: %s", event.reason, event.message, extra=about(key))

    def post_applied(self, experiment: Experiment, applied: Applied) -> None:
        """Tell of children that were put back, and of those that are no longer wanted."""
        for kind, name in applied.restored:
            event = Event("Normal", reasons.RESTORED, f"put {kind} {name} back as it was planned")
            self.post(experiment.key, experiment.uid, event)
        for kind, name in applied.deleted:
            event = Event("Normal", reasons.PRUNED, f"deleted {kind} {name}, which is not wanted")
            self.post(experiment.key, experiment.uid, event)

    async def run(self) -> None:
        """Post what waits, for ever."""
        while True:
            key, uid, event = await self._waiting.get()
            try:
                await self._api.create(EVENT, _body(key, uid, event))
            except OperatorError as error:
                logger.warning("the event %s was not posted: %s", event.reason, error)


def _body(key: Key, uid: str, event: Event) -> dict[str, object]:
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    namespace, name = key
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"generateName": f"{name}.", "namespace": namespace},
        "involvedObject": {
            "apiVersion": EXPERIMENT.api_version,
            "kind": EXPERIMENT.kind,
            "namespace": namespace,
            "name": name,
            "uid": uid,
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:1024],
        "source": {"component": FIELD_MANAGER},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
