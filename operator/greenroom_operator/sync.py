"""Whole comparisons of the cache with the cluster: before anything is done, and now and then.

What is deleted before a kind is listed, and after it was listed last, is never told of. So
everything is listed at the start, once watches have begun, when a kind had to be listed anew,
and every ten minutes.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from greenroom_operator.cache import Cache
from greenroom_operator.client import Api, Object
from greenroom_operator.errors import ApiRefused, ApiUnavailable, NotFound
from greenroom_operator.experiment import Key
from greenroom_operator.kinds import CHILDREN, EXPERIMENT, OPTIONAL, POD, WORKLOAD, Kind
from greenroom_operator.names import CHILD_SELECTOR, EXPERIMENT_LABEL
from greenroom_operator.queue import Urgency, WorkQueue

logger = logging.getLogger(__name__)

# Lists come in with the events of the same moment; one comparison does for them all.
SETTLE_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 5.0


class Synchronizer:
    """Compares the cache with the cluster.

    Args:
        api, cache, queue: its parts.
        kinds: what the cluster knows of what is watched.
        namespaces: whose objects; all if none is named.
        seconds: between two comparisons.
    """

    def __init__(
        self,
        api: Api,
        cache: Cache,
        queue: WorkQueue,
        kinds: tuple[Kind, ...],
        namespaces: tuple[str, ...],
        seconds: float,
    ) -> None:
        self._api, self._cache, self._queue, self._kinds = api, cache, queue, kinds
        self._namespaces: tuple[str | None, ...] = namespaces or (None,)
        self._seconds = seconds
        self._wanted = asyncio.Event()

    def want(self) -> None:
        """Have a comparison made soon, since a kind was listed anew."""
        self._wanted.set()

    async def run(self) -> None:
        """Compare now and then, for ever."""
        while True:
            try:
                async with asyncio.timeout(self._seconds):
                    await self._wanted.wait()
                await asyncio.sleep(SETTLE_SECONDS)
            except TimeoutError:
                pass
            self._wanted.clear()
            try:
                await self.compare()
            except (ApiUnavailable, ApiRefused) as error:
                # Also what is refused: a page that came too late (410), or rights that an API
                # server has not read yet after its start (403).
                logger.warning("the comparison with the cluster is put off: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
                self._wanted.set()

    async def compare(self) -> None:
        """Take over what the cluster has, forget what it has not, and look at every experiment.

        Raises:
            ApiUnavailable: the cluster cannot be listed now.
            ApiRefused: it may not be listed.
        """
        # Children first: an experiment without them would have them all made once more.
        for kind in (*CHILDREN, POD, EXPERIMENT):
            if kind not in self._kinds:
                continue
            if kind is WORKLOAD:
                await self._compare_queues()
            else:
                await self._compare_kind(kind)
        for key in list(self._cache.keys()):
            self._queue.add(key, Urgency.ROUTINE)

    async def _compare_queues(self) -> None:
        """Do the same for Kueue's Workloads, which hold nobody up who names no queue.

        Kueue itself takes part in listing them, by its conversion webhook, and may be away.
        """
        try:
            await self._compare_kind(WORKLOAD)
        except (ApiUnavailable, ApiRefused) as error:
            logger.warning("what Kueue has admitted is not known: %s", error)
        else:
            self._cache.queues_known = True

    async def find_queues(self) -> None:
        """Try until Kueue's Workloads are known, if there are any."""
        while WORKLOAD in self._kinds and not self._cache.queues_known:
            await asyncio.sleep(RETRY_SECONDS)
            await self._compare_queues()
        await asyncio.Event().wait()

    async def _compare_kind(self, kind: Kind) -> None:
        seen: dict[Key, set[str]] = {}
        oldest: int | None = None
        for namespace in self._namespaces:
            version = await self._list(kind, namespace, seen)
            if version is None:
                return
            oldest = version if oldest is None else min(oldest, version)
        assert oldest is not None, "there is a namespace, or all of them"
        for key in self._cache.retain(kind, seen, oldest):
            self._queue.add(key, Urgency.NEW)

    async def _list(
        self, kind: Kind, namespace: str | None, seen: dict[Key, set[str]]
    ) -> int | None:
        """Take one list over; return its resource version, None if there is no such kind."""
        selector = "" if kind is EXPERIMENT else CHILD_SELECTOR
        listed = None
        try:
            async for version, page in self._api.list(kind, namespace, selector=selector):
                listed = version
                for body in page:
                    self._take(kind, body, seen)
        except NotFound:
            if kind in OPTIONAL:
                return None
            raise
        return listed

    def _take(self, kind: Kind, body: Object, seen: dict[Key, set[str]]) -> None:
        metadata = body["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        # Items of a list do not say what they are.
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **body}
        if kind is EXPERIMENT:
            seen[namespace, name] = {name}
            self._cache.experiment(None, body)
            return
        experiment = metadata["labels"][EXPERIMENT_LABEL]
        seen.setdefault((namespace, experiment), set()).add(name)
        if kind is POD:
            self._cache.pod(None, body)
        else:
            self._cache.child(kind, None, body)
