"""One reconcile: observe, decide, plan, apply, say what is.

It is idempotent and level-triggered: it looks at what is, not at what happened, and may die
between any two writes. `handlers` tells which experiment may need one; `queue` which is next.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from greenroom_api import InvalidExperiment
from greenroom_operator.apply import Applied, Applier
from greenroom_operator.cache import Cache, Compared
from greenroom_operator.client import Api
from greenroom_operator.errors import ApiRefused, ApiUnavailable, Conflict, NotFound, OperatorError
from greenroom_operator.events import EventPoster
from greenroom_operator.experiment import Experiment, Key
from greenroom_operator.kinds import EXPERIMENT, SECRET
from greenroom_operator.logs import about
from greenroom_operator.metrics import Metrics
from greenroom_operator.names import token_name
from greenroom_operator.observed import ChildKey, Decision, Observed
from greenroom_operator.plan import is_seeding, plan
from greenroom_operator.plan.secret import token_secret
from greenroom_operator.policies import decide, is_ours, polling, queueing
from greenroom_operator.progress import Poller, learner_pod
from greenroom_operator.queue import Urgency, WorkQueue
from greenroom_operator.queueing import Queues
from greenroom_operator.settings import PlanOptions
from greenroom_operator.sources import source_of
from greenroom_operator.status import events, invalid_status, make_status, resolve_images

logger = logging.getLogger(__name__)

# Longer than all requests of a reconcile ought to take together; nothing hangs for ever.
RECONCILE_SECONDS: Final = 120.0
# What was refused is tried again then: a name gets free, a quota grows, and nothing tells of it.
REFUSED_SECONDS: Final = 30.0


class Controller:
    """Works the queue off.

    Args:
        api, cache, queue, poller, poster, metrics: its parts.
        options: what children look like.
        poll_seconds: between two questions to a learner that trains, more or less.
    """

    def __init__(
        self,
        api: Api,
        cache: Cache,
        queue: WorkQueue,
        poller: Poller,
        poster: EventPoster,
        metrics: Metrics,
        options: PlanOptions,
        poll_seconds: float,
    ) -> None:
        self._api, self._cache, self._queue = api, cache, queue
        self._poller, self._poster, self._metrics = poller, poster, metrics
        self._options, self._poll_seconds = options, poll_seconds
        self._applier = Applier(api, cache)
        self._queues = Queues(api, cache)
        self._phases: dict[Key, str] = {}

    async def work(self) -> None:
        """Reconcile one experiment after the other, for ever. Several may run side by side."""
        while True:
            key = await self._queue.get()
            await self._turn(key)

    async def _turn(self, key: Key) -> None:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(RECONCILE_SECONDS):
                restored = await self.reconcile(key)
        except Exception as error:
            reason, wait = _why(error)
            seconds = self._queue.failed(key, at_least=wait)
            self._metrics.errors.labels(reason).inc()
            self._metrics.reconciles.labels("failed").inc()
            expected = isinstance(error, OperatorError | TimeoutError)
            logger.log(
                logging.WARNING if expected else logging.ERROR,
                "%s; again in %.1f s",
                error or type(error).__name__,
                seconds,
                extra=about(key),
                exc_info=None if expected else error,
            )
        else:
            # Who changes a child again and again is answered more and more slowly.
            if restored:
                self._queue.failed(key)
            else:
                self._queue.done(key)
            self._metrics.reconciles.labels("done").inc()
        self._metrics.reconcile_seconds.observe(time.perf_counter() - began)

    async def reconcile(self, key: Key) -> bool:
        """Bring one experiment nearer to what it should be.

        Returns:
            whether a child was put back that somebody had changed or deleted.

        Raises:
            OperatorError: the API server did not let it; what was written stands.
        """
        stored = self._cache.stored(key)
        if stored is None:
            self._forget(key)
            return False
        try:
            experiment = stored.parse()
        except InvalidExperiment as error:
            previous = stored.previous_status()
            now = datetime.now(UTC)
            status = invalid_status(previous, stored.generation, str(error), now)
            await self._write_status(key, stored.uid, previous, status)
            return False
        if experiment.deleting or not is_ours(experiment):
            self._forget(key)
            return False
        return await self._bring_about(experiment)

    async def _bring_about(self, experiment: Experiment) -> bool:
        key = experiment.key
        before = dict(experiment.status)
        images = resolve_images(experiment, self._options)
        token, refused = await self._token(experiment)
        experiment = replace(experiment, status=before | {"images": images} | token)
        if queueing.queue(experiment) or "admission" in experiment.status:
            experiment = await self._queues.with_admission(experiment, self._observe(experiment))
        observed = self._observe(experiment)
        decision = decide(experiment, observed)
        if decision.delete:
            logger.info("deleting: its time after completion has passed", extra=about(key))
            await self._api.delete(EXPERIMENT, key[0], key[1], uid=experiment.uid)
            return False
        priority, unknown = await self._queues.priority(experiment, observed, decision)
        if unknown and queueing.entry(experiment, observed) is None:
            decision = replace(decision, queued=False)
        observed = replace(observed, priority=priority)
        applied = await self._apply(experiment, decision, observed, refused | unknown)
        if applied.failure is not None and not self._queue.failures(key):
            raise applied.failure  # it may be over before anybody has read of it
        observed = self._observe(experiment)
        status = make_status(experiment, observed, decision)
        await self._write_status(key, experiment.uid, before, status)
        self._poster.post_applied(experiment, applied)
        self._poller.schedule(key, self._pause(decision.poll_seconds))
        waits = [decision.recheck_seconds, REFUSED_SECONDS if applied.refused else None]
        due = [seconds for seconds in waits if seconds is not None]
        if due:
            self._queue.add_later(key, min(due))
        workload = queueing.workload(experiment, observed)
        report = queueing.report(experiment, observed, decision.goal, status)
        if workload is not None and report is not None:
            await self._queues.tell(experiment, workload.uid, report)
        if applied.failure is not None:
            raise applied.failure
        return bool(applied.restored)

    def _pause(self, seconds: float | None) -> float | None:
        """Return the pause before the next question to a learner; who waits is asked at once."""
        if seconds is None or seconds <= polling.HURRY_SECONDS:
            return seconds
        return seconds * self._poll_seconds / polling.POLL_SECONDS

    def _observe(self, experiment: Experiment) -> Observed:
        source = source_of(experiment, self._cache)
        observed = self._cache.observed(experiment.key, datetime.now(UTC), source)
        return replace(observed, queueing=self._options.queueing)

    async def _apply(
        self,
        experiment: Experiment,
        decision: Decision,
        observed: Observed,
        refused: Mapping[ChildKey, str],
    ) -> Applied:
        family = self._cache.family(experiment.key)
        compared = Compared(
            experiment.uid,
            experiment.generation,
            experiment.status["images"],
            is_seeding(experiment),
            decision.replicas,
            observed.children,
            (
                queueing.queue(experiment),
                decision.queued,
                observed.priority,
                experiment.status.get("admission"),
            ),
        )
        # Most reconciles are about progress: making a plan is half of their time.
        if family.agreed == compared and not refused:
            return Applied()
        manifests = plan(experiment, decision, observed, self._options)
        applied = await self._applier.apply(experiment, manifests)
        if applied.nothing_to_do:
            family.agreed = compared
        applied.refused |= refused
        if applied.created:
            names = ", ".join(f"{kind} {name}" for kind, name in applied.created)
            logger.info("created %s", names, extra=about(experiment.key))
        for (kind, name), words in applied.refused.items():
            self._metrics.errors.labels("refused").inc()
            if family.refused.get((kind, name)) != words:
                logger.warning("%s %s: %s", kind, name, words, extra=about(experiment.key))
        family.refused = applied.refused
        return applied

    async def _token(self, experiment: Experiment) -> tuple[dict[str, str], dict[ChildKey, str]]:
        """Make the run's secret, once; the operator never reads it.

        Whether it was made is in the status. A pod that misses it has it made anew.

        Returns:
            what the status says of it, and what the API server answered if it refused.
        """
        name = token_name(experiment.name, experiment.uid)
        lost = any(
            pod.waiting == "CreateContainerConfigError" and f'"{name}"' in pod.waiting_message
            for _, pod in self._cache.family(experiment.key).pods.values()
        )
        if "tokenSecret" in experiment.status and not lost:
            return {}, {}
        try:
            await self._api.create(SECRET, token_secret(experiment))
        except Conflict:
            pass  # it is there
        except ApiRefused as error:
            return {}, {(SECRET.kind, name): str(error)}
        return {"tokenSecret": name}, {}

    async def _write_status(
        self, key: Key, uid: str, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        """Write a status in one request, if it differs."""
        self._count_phase(key, str(new.get("phase", "")))
        if new == old:
            return
        gone = {name: None for name in old if name not in new}
        changed = {name: value for name, value in new.items() if old.get(name) != value}
        # The uid makes sure that it is this experiment's and not a successor's.
        patch = {"metadata": {"uid": uid}, "status": gone | changed}
        try:
            body = await self._api.merge(EXPERIMENT, *key, patch, subresource="status")
        except (NotFound, Conflict):
            return  # it was deleted meanwhile
        self._cache.experiment("MODIFIED", body)
        # The answer may be the first to tell of another spec: its event will say nothing new.
        if body["metadata"]["generation"] != new["observedGeneration"]:
            self._queue.add(key, Urgency.CHANGED)
        # What was written may be what the next step waits for.
        if old.get("conditions") != new.get("conditions"):
            self._queue.add(key, Urgency.NEW)
        for event in events(old, new):
            self._poster.post(key, uid, event)

    def _count_phase(self, key: Key, phase: str) -> None:
        before = self._phases.get(key)
        if before == phase:
            return
        if before is not None:
            self._metrics.experiments.labels(before).dec()
        self._phases[key] = phase
        self._metrics.experiments.labels(phase).inc()

    def _forget(self, key: Key) -> None:
        phase = self._phases.pop(key, None)
        if phase is not None:
            self._metrics.experiments.labels(phase).dec()
        self._queue.forget(key)
        # Its learner stays until its last word was read, by whomever.
        family = self._cache.peek(key)
        pods = [] if family is None else [pod for _, pod in family.pods.values()]
        pod = learner_pod(pods)
        leaving = pod is not None and pod.deleting
        self._poller.schedule(key, polling.HURRY_SECONDS if leaving else None)


def _why(error: Exception) -> tuple[str, float]:
    """Return a word for metrics, and how long to wait at least."""
    match error:
        case ApiUnavailable():
            return error.reason, error.retry_after or 0.0
        case TimeoutError():
            return "timeout", 0.0
        case OperatorError():
            return "refused", 0.0
    return "bug", 0.0
