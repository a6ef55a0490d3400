"""The whole operator in one process: health, Lease, cache, kopf's watches, and workers."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any

import kopf
from kubernetes.aio.client import Configuration

from greenroom_operator.cache import Cache
from greenroom_operator.client import Api, credentials, load_configuration, open_session
from greenroom_operator.controller import Controller
from greenroom_operator.errors import ApiRefused, ApiUnavailable, NotFound, OperatorError
from greenroom_operator.events import EventPoster
from greenroom_operator.experiment import Key
from greenroom_operator.handlers import make_registry, make_settings
from greenroom_operator.health import Health, served
from greenroom_operator.kinds import (
    CHILDREN,
    EXPERIMENT,
    OPTIONAL,
    POD,
    POD_MONITOR,
    WORKLOAD,
    Kind,
)
from greenroom_operator.leader import Lease, LeaseLost
from greenroom_operator.metrics import Metrics
from greenroom_operator.progress import Poller
from greenroom_operator.queue import Urgency, WorkQueue
from greenroom_operator.settings import PlanOptions, Settings
from greenroom_operator.sync import Synchronizer

logger = logging.getLogger(__name__)

RETRY_SECONDS = 2.0


async def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, or until the cluster came to know PodMonitors or Kueue.

    Raises:
        OperatorError: it cannot go on: no cluster, no rights, no CRD, or the Lease was lost.
    """
    metrics = Metrics()
    health = Health(metrics)
    async with AsyncExitStack() as stack:
        port = stack.enter_context(served(health, metrics, settings.http_host, settings.http_port))
        logger.info("health and metrics are at http://%s:%d", settings.http_host, port)
        configuration = await load_configuration()
        session = await stack.enter_async_context(open_session(configuration))
        api = Api(configuration, session, metrics.count_request)
        main = asyncio.create_task(_lead(settings, configuration, api, metrics, health))
        beat = asyncio.create_task(health.beat())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, main.cancel)
        try:
            with suppress(asyncio.CancelledError):
                await main
        finally:
            beat.cancel()


async def _lead(
    settings: Settings,
    configuration: Configuration,
    api: Api,
    metrics: Metrics,
    health: Health,
) -> None:
    """Wait for the Lease, if there is one, and look after experiments while it is held."""
    if not settings.leader_elect:
        metrics.is_leader.set(1)
        return await _operate(settings, configuration, api, metrics, health)
    lease = Lease(api, settings.lease_namespace, settings.lease_name, settings.identity)
    standby = asyncio.create_task(_show_standby(lease, health))
    try:
        await lease.acquire()
    finally:
        standby.cancel()
    health.not_ready = "the caches are not synced yet"
    metrics.is_leader.set(1)
    try:
        await _first_to_end(lease.hold(), _operate(settings, configuration, api, metrics, health))
    except LeaseLost:
        raise
    except BaseException:
        await asyncio.shield(lease.release())
        raise
    else:
        await lease.release()
    finally:
        metrics.is_leader.set(0)


async def _show_standby(lease: Lease, health: Health) -> None:
    while True:
        health.not_ready = None if lease.read else "the Lease cannot be read"
        await asyncio.sleep(1.0)


async def _operate(
    settings: Settings,
    configuration: Configuration,
    api: Api,
    metrics: Metrics,
    health: Health,
) -> None:
    places = ", ".join(settings.namespaces) or "all namespaces"
    logger.info("looking after experiments of %s", places)
    cache, queue = Cache(), WorkQueue()
    metrics.queue_depth.set_function(lambda: len(queue))
    kinds = await _known_kinds(api, settings.plan)
    options = settings.plan
    if options.pod_monitors and POD_MONITOR not in kinds:
        logger.info("PodMonitors are not made: this cluster does not know them")
        options = replace(options, pod_monitors=False)
    if WORKLOAD in kinds:
        logger.info("experiments may wait in queues of Kueue's")
    options = replace(options, queueing=WORKLOAD in kinds)
    synchronizer = Synchronizer(
        api, cache, queue, kinds, settings.namespaces, settings.resync_seconds
    )
    await _synced(synchronizer)

    def answered(key: Key) -> None:
        queue.add(key, Urgency.ROUTINE)

    poller = Poller(api, cache, answered, metrics, settings.progress_via)
    poster = EventPoster(api)
    controller = Controller(
        api, cache, queue, poller, poster, metrics, options, settings.progress_seconds
    )
    try:
        await _first_to_end(
            _watch(settings, configuration, cache, queue, synchronizer, health, kinds),
            synchronizer.run(),
            synchronizer.find_queues(),
            _other_kinds(api, kinds, settings),
            poster.run(),
            *(controller.work() for _ in range(settings.concurrency)),
        )
    finally:
        await poller.close()


async def _synced(synchronizer: Synchronizer) -> None:
    """Fill the cache, however long the API server takes.

    Raises:
        OperatorError: the CRD is not there, or a right is missing.
    """
    while True:
        try:
            return await synchronizer.compare()
        except ApiUnavailable as error:
            logger.warning("the caches are not synced yet: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
        except NotFound as error:
            raise OperatorError(
                f"The CustomResourceDefinition {EXPERIMENT.plural}.{EXPERIMENT.group} must be "
                "installed before the operator. Got: the API server does not know it."
            ) from error
        except ApiRefused as error:
            raise OperatorError(f"The operator lacks a right: {error}") from error


async def _kinds(api: Api, options: PlanOptions) -> tuple[Kind, ...]:
    """Return the kinds that are watched: what not every cluster knows only where it does.

    Raises:
        ApiUnavailable, ApiRefused: the cluster did not tell.
    """
    found = [EXPERIMENT, POD]
    for kind in CHILDREN:
        if kind is WORKLOAD and not options.queueing:
            continue
        if kind in OPTIONAL:
            try:
                await api.request("GET", f"/apis/{kind.group}/{kind.version}")
            except NotFound:
                continue
        found.append(kind)
    return tuple(found)


async def _known_kinds(api: Api, options: PlanOptions) -> tuple[Kind, ...]:
    """Return the same, however long the API server takes."""
    while True:
        try:
            return await _kinds(api, options)
        except ApiUnavailable as error:
            logger.warning("it is not known yet what the cluster knows: %s", error)
            await asyncio.sleep(RETRY_SECONDS)


async def _other_kinds(api: Api, kinds: tuple[Kind, ...], settings: Settings) -> None:
    """Return once the cluster knows PodMonitors or Kueue and did not, or the other way round.

    Watches are chosen at the start, so this process ends then; who started it starts it again.
    """
    found = kinds
    while found == kinds:
        await asyncio.sleep(settings.resync_seconds)
        with suppress(ApiUnavailable, ApiRefused):
            found = await _kinds(api, settings.plan)
    for kind in set(found) ^ set(kinds):
        known = "now" if kind in found else "no more"
        logger.warning("the cluster knows %ss %s: ending, to begin anew", kind.kind, known)


async def _watch(
    settings: Settings,
    configuration: Configuration,
    cache: Cache,
    queue: WorkQueue,
    synchronizer: Synchronizer,
    health: Health,
    kinds: tuple[Kind, ...],
) -> None:
    registry = make_registry(kinds, cache, queue)

    async def login(**_: Any) -> kopf.AiohttpSession:
        headers = await credentials(configuration)
        # Each kind has a watch in each namespace, and a connection for as long as it lasts.
        session = open_session(
            configuration, headers=headers, traces=[health.trace(synchronizer.want)], connections=0
        )
        return kopf.AiohttpSession(server=configuration.host, aiohttp_session=session)

    kopf.on.login(registry=registry, id="login")(login)
    places = settings.namespaces or (None,)
    # Nobody is served better by a process that begins anew because Kueue is away.
    health.expect(kind.path(place) for kind in kinds if kind is not WORKLOAD for place in places)
    if WORKLOAD in kinds:
        health.notice(WORKLOAD.path(place) for place in places)
    health.not_ready = None
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    # kopf would make one of the user's name, which a container need not have.
    identity: Any = settings.identity
    # At its end kopf cancels every task but these.
    ours = asyncio.all_tasks()
    try:
        tasks = await kopf.spawn_tasks(
            registry=registry,
            settings=make_settings(namespaced=bool(settings.namespaces)),
            standalone=True,
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            stop_flag=stop,
            identity=identity,
        )
        # kopf has taken them, and bears one; `timeout` and impatient people send two.
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await kopf.run_tasks(tasks, ignored=ours)
    except Exception as error:
        # Whatever kopf gives up over: a new process begins with lists and watches of its own.
        raise OperatorError(f"The watches ended: {error!r}") from error
    finally:
        loop.set_exception_handler(end_quietly)


def end_quietly(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Handle what goes wrong in a loop that ends, as asyncio does, generators apart.

    A watch of kopf's that is ended amid an event leaves two generators, of which one holds the
    other. asyncio closes both at the same time, and the outer may find the inner one closed.
    """
    if "asyncgen" in context:
        logger.debug("%s", context["message"])
    else:
        loop.default_exception_handler(context)


async def _first_to_end(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run all side by side until one ends or fails; then end the others."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
