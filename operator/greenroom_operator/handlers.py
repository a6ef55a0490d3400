"""What kopf calls: watch events go into the cache, and their experiments into the queue.

Only ``on.event``: such handlers write nothing to objects, keep no state in them, and need
no finalizer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import kopf

from greenroom_operator.cache import Cache
from greenroom_operator.client import LIST_SECONDS, PAGE, REQUEST_SECONDS
from greenroom_operator.experiment import Key
from greenroom_operator.kinds import CHILDREN, EXPERIMENT, POD, Kind
from greenroom_operator.names import CHILD_SELECTOR
from greenroom_operator.queue import Urgency, WorkQueue

# A watch is asked for anew so often; what it missed meanwhile it is told. See `health`.
WATCH_SECONDS: Final = 120
_FIRST_BACKOFFS: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
_LONGEST_BACKOFF: Final = 10.0
Handler = Callable[..., Awaitable[None]]


def make_registry(kinds: Iterable[Kind], cache: Cache, queue: WorkQueue) -> kopf.OperatorRegistry:
    """Return kopf's registry of handlers.

    Args:
        kinds: what is watched.
        cache, queue: what events go into.
    """
    registry = kopf.OperatorRegistry()
    for kind in kinds:
        handler = (
            _experiment_handler(cache, queue)
            if kind is EXPERIMENT
            else _child_handler(kind, cache, queue)
        )
        kopf.on.event(kind.group, kind.version, kind.plural, id=kind.plural, registry=registry)(
            handler
        )
    return registry


def make_settings(*, namespaced: bool) -> kopf.OperatorSettings:
    """Return kopf's settings: one watch a kind, of our children alone, and no state in objects.

    Args:
        namespaced: whether only named namespaces are looked after; then this operator has no
            right to look at the cluster's.
    """
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = namespaced
    settings.watching.server_timeout = WATCH_SECONDS
    settings.watching.chunk_size = PAGE
    # A watch that the API server refuses (429, 5xx) is asked for as long as that lasts; liveness
    # ends a process whose watches stay away.
    settings.networking.error_backoffs = (*_FIRST_BACKOFFS, *([_LONGEST_BACKOFF] * 1_000))
    settings.networking.request_timeout = LIST_SECONDS
    settings.networking.connect_timeout = REQUEST_SECONDS
    settings.queueing.idle_timeout = 0.1
    settings.execution.max_workers = 1
    settings.persistence.diffbase_storage = _NoDiffs()
    settings.persistence.progress_storage = _NoProgress()
    settings.persistence.consistency_timeout = 0
    for kind in (*CHILDREN, POD):
        place = kind.group, kind.version, kind.plural
        settings.watching.label_selectors[place] = CHILD_SELECTOR
    return settings


def _experiment_handler(cache: Cache, queue: WorkQueue) -> Handler:
    async def on_experiment(event: dict[str, Any], **_: Any) -> None:
        kind, body = event["type"], event["object"]
        key: Key = body["metadata"]["namespace"], body["metadata"]["name"]
        before = cache.stored(key)
        if cache.experiment(kind, body) is None:
            return
        changed = before is not None and before.generation != body["metadata"]["generation"]
        queue.add(key, Urgency.CHANGED if changed or kind == "DELETED" else Urgency.NEW)

    return on_experiment


def _child_handler(kind: Kind, cache: Cache, queue: WorkQueue) -> Handler:
    async def on_child(event: dict[str, Any], **_: Any) -> None:
        body = event["object"]
        if kind is POD:
            key = cache.pod(event["type"], body)
        else:
            key = cache.child(kind, event["type"], body)
        if key is not None:
            queue.settle(key)

    return on_child


class _NoDiffs(kopf.DiffBaseStorage):
    """Keeps kopf from copying each object for diffs that nobody asks for."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence({})

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: Any) -> None:
        """Store nothing."""


class _NoProgress(kopf.ProgressStorage):
    """Keeps kopf from looking for the progress of handlers that nobody has."""

    def fetch(self, **_: Any) -> kopf.ProgressRecord | None:
        return None

    def store(self, **_: Any) -> None:
        """Store nothing."""

    def purge(self, **_: Any) -> None:
        """Nothing was stored."""

    def touch(self, **_: Any) -> None:
        """Nothing is waited for."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence
