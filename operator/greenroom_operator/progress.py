"""Asking learners how far they are.

A learner's ``/status`` is read from its pod, or through the API server where pods are out
of reach. A learner that does not answer holds up nobody: it becomes a `Silence`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

import aiohttp

from greenroom_operator.cache import Cache
from greenroom_operator.client import Api
from greenroom_operator.errors import OperatorError
from greenroom_operator.experiment import Key
from greenroom_operator.kinds import POD
from greenroom_operator.metrics import Metrics
from greenroom_operator.names import HTTP_PORT
from greenroom_operator.observed import Checkpoint, LearnerState, Pod, Progress, Silence

logger = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 5.0
# A status is a few hundred bytes; whoever sends more is no learner.
LONGEST_ANSWER: Final = 1 << 20
AT_ONCE: Final = 64
_STATES: Final = frozenset(get_args(LearnerState))


class Poller:
    """Asks the learner of each experiment at the times that reconciles set.

    Args:
        api: asked for the proxy where ``via`` is "proxy".
        cache: where pods are, and where answers go.
        changed: told the key of an experiment whose learner said something new.
        via: "pods" or "proxy".
    """

    def __init__(
        self,
        api: Api,
        cache: Cache,
        changed: Callable[[Key], None],
        metrics: Metrics,
        via: Literal["pods", "proxy"],
    ) -> None:
        self._api, self._cache, self._changed = api, cache, changed
        self._metrics, self._via = metrics, via
        self._timers: dict[Key, tuple[float, asyncio.TimerHandle]] = {}
        self._asking: dict[Key, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    def schedule(self, key: Key, seconds: float | None) -> None:
        """Ask within so many seconds, or not at all; a time that is sooner already stands."""
        known = self._timers.get(key)
        if seconds is None:
            self.cancel(key)
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        if key in self._asking or (known is not None and known[0] <= due):
            return
        if known is not None:
            known[1].cancel()
        self._timers[key] = due, loop.call_later(seconds, self._begin, key)

    def cancel(self, key: Key) -> None:
        """Ask no more."""
        known = self._timers.pop(key, None)
        if known is not None:
            known[1].cancel()

    async def close(self) -> None:
        """Stop asking."""
        for key in list(self._timers):
            self.cancel(key)
        for task in list(self._asking.values()):
            task.cancel()
        if self._session is not None:
            await self._session.close()

    def _begin(self, key: Key) -> None:
        self._timers.pop(key, None)
        task = asyncio.get_running_loop().create_task(self._ask(key))
        self._asking[key] = task

    async def _ask(self, key: Key) -> None:
        try:
            async with self._turns:
                await self._ask_pod(key)
        finally:
            del self._asking[key]
        # Whatever was said, the next reconcile sets the next time.
        self._changed(key)

    async def _ask_pod(self, key: Key) -> None:
        family, stored = self._cache.peek(key), self._cache.stored(key)
        if family is None:
            return
        pod = learner_pod([pod for _, pod in family.pods.values()])
        if stored is None or pod is None:
            family.silence = None
            if pod is not None:
                await self._release(key, pod)
            return
        now = datetime.now(UTC)
        try:
            answer = await self._status(key[0], pod)
            if not isinstance(answer, dict):
                raise ValueError(f"/status must be a JSON object. Got: {str(answer)[:80]}")
            if answer.get("uid") != stored.uid:
                self._metrics.polls.labels("stranger").inc()
                raise ValueError(f"another experiment's learner answers at {pod.ip}")
            progress = parse_progress(answer, now, pod.uid)
        except (OperatorError, aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            self._metrics.polls.labels("silent").inc()
            since = family.silence.since if family.silence else now
            family.silence = Silence(since, str(error) or f"no answer in {ANSWER_SECONDS:g} s")
            return
        self._metrics.polls.labels("answered").inc()
        if family.experiment is not None and family.experiment.uid == stored.uid:
            family.progress, family.silence = progress, None

    async def _release(self, key: Key, pod: Pod) -> None:
        """Read the last word of a learner whose experiment was deleted: it leaves after that."""
        with suppress(OperatorError, aiohttp.ClientError, OSError, TimeoutError, ValueError):
            await self._status(key[0], pod)

    async def _status(self, namespace: str, pod: Pod) -> Any:
        if self._via == "proxy":
            path = POD.path(namespace, f"{pod.name}:{HTTP_PORT}", "proxy/status")
            return await self._api.request("GET", path, seconds=ANSWER_SECONDS, verb="proxy")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
                connector=aiohttp.TCPConnector(limit=AT_ONCE, force_close=True),
            )
        host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
        async with self._session.get(f"http://{host}:{HTTP_PORT}/status") as response:
            response.raise_for_status()
            text = await response.content.read(LONGEST_ANSWER)
        return json.loads(text)


def learner_pod(pods: list[Pod]) -> Pod | None:
    """Return the learner's pod that can be asked: one that has an address and has not ended."""
    learners = [pod for pod in pods if pod.role == "learner" and pod.ip and pod.phase == "Running"]
    return min(learners, key=lambda pod: (pod.deleting, pod.name), default=None)


def parse_progress(answer: Mapping[str, Any], now: datetime, pod: str) -> Progress:
    """Read a learner's ``/status``.

    Raises:
        ValueError: it is not one.
    """
    state = answer.get("state")
    if not isinstance(state, str) or state not in _STATES:
        raise ValueError(f"state must be one of {', '.join(sorted(_STATES))}. Got: {state!r}")
    try:
        progress = Progress(
            time=now,
            pod=pod,
            state=state,  # type: ignore[arg-type]  # one of _STATES
            detail=str(answer.get("detail") or ""),
            environment_steps=int(answer.get("environmentSteps") or 0),
            learner_steps=int(answer.get("learnerSteps") or 0),
            episode_return=_number(answer.get("episodeReturn")),
            environment_steps_per_second=_number(answer.get("environmentStepsPerSecond")),
            learner_steps_per_second=_number(answer.get("learnerStepsPerSecond")),
            samples_per_insert=_number(answer.get("samplesPerInsert")),
        )
        if answer.get("bottleneck") in ("acting", "learning"):
            progress = replace(progress, bottleneck=answer["bottleneck"])
        saved = answer.get("checkpoint")
        if saved is not None:
            progress = replace(progress, checkpoint=_checkpoint(saved))
    except (TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"/status has another form: {error!r}") from error
    return progress


def _checkpoint(saved: Mapping[str, Any]) -> Checkpoint:
    return Checkpoint(
        environment_steps=int(saved["environmentSteps"]),
        learner_steps=int(saved["learnerSteps"]),
        time=datetime.fromisoformat(saved["time"]),
        final=saved["final"] is True,
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
