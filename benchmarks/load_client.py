"""A client of the API server that loads an operator: it creates, watches and deletes.

async with open_session(configuration) as session:
    client = LoadClient(plane.url, session, subject)
    watching = asyncio.create_task(client.watch(subject.kind))
    await client.create(bodies, rate=2.0)
    print(client.seen.ready)
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp

from e2e.cluster.client import Object
from greenroom_operator.kinds import POD, Kind

NAMESPACE = "default"
CREATORS = 16


@dataclass(frozen=True)
class Subject:
    """What is created, and how it is seen what becomes of it.

    Attributes:
        kind: of what is created.
        children: kinds that an operator makes of each.
        parent: the name of what a child was made of; None if it is nobody's child here.
        ready: whether an object says that all of it is ready.
    """

    kind: Kind
    children: tuple[Kind, ...]
    parent: Callable[[Object], str | None]
    ready: Callable[[Object], bool]


@dataclass
class Seen:
    """When things happened to each object, by this program's clock."""

    subject: Subject
    created: dict[str, float] = field(default_factory=dict)
    children: dict[str, list[float]] = field(default_factory=dict)
    ready: dict[str, float] = field(default_factory=dict)
    scaled: dict[str, float] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    # Children that are there now, by kind.
    present: Counter[str] = field(default_factory=Counter)

    def note(self, kind: Kind, event: str, body: Object) -> None:
        now = time.perf_counter()
        if kind is self.subject.kind:
            name = body["metadata"]["name"]
            if event == "DELETED":
                self.gone.add(name)
            elif self.subject.ready(body):
                self.ready.setdefault(name, now)
            return
        parent = self.subject.parent(body)
        if parent is None:
            return
        if event == "ADDED":
            self.present[kind.kind] += 1
            self.children.setdefault(parent, []).append(now)
        elif event == "DELETED":
            self.present[kind.kind] -= 1
        elif kind.kind == "Deployment" and body["spec"].get("replicas", 1) > 2:
            self.scaled.setdefault(parent, now)


class LoadClient:
    """It knows one namespace."""

    def __init__(self, url: str, session: aiohttp.ClientSession, subject: Subject) -> None:
        self._url, self._session, self._subject = url, session, subject
        self.seen = Seen(subject)

    def forget(self) -> None:
        """Begin anew with what is seen."""
        self.seen = Seen(self._subject)

    async def watch(self, kind: Kind) -> None:
        """Note what happens to a kind, for ever; the API server ends watches that lag behind."""
        query = {"watch": "true"}
        url = self._url + kind.path(NAMESPACE)
        timeout = aiohttp.ClientTimeout(total=None, sock_read=None)
        while True:
            async with self._session.get(url, params=query, timeout=timeout) as response:
                async for line in response.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise RuntimeError(f"The watch of {kind.plural} ended: {event['object']}")
                    query["resourceVersion"] = event["object"]["metadata"]["resourceVersion"]
                    self.seen.note(kind, event["type"], event["object"])

    async def create(self, bodies: list[Object], rate: float) -> float:
        """Create all, ``rate`` a second at most; return the seconds it took."""
        began = time.perf_counter()
        waiting = iter(enumerate(bodies))

        async def creator() -> None:
            for index, body in waiting:
                await asyncio.sleep(max(0.0, began + index / rate - time.perf_counter()))
                name = body["metadata"]["name"]
                self.seen.created[name] = time.perf_counter()
                await self._post(self._subject.kind.path(NAMESPACE), body)

        await asyncio.gather(*(creator() for _ in range(CREATORS)))
        return time.perf_counter() - began

    async def create_pods(self, count: int) -> None:
        """Create pods that are nobody's business here: no scheduler and no node takes them."""
        containers = [{"name": "main", "image": "example.com/other:1"}]
        names = iter([f"foreign-{index}" for index in range(count)])

        async def creator() -> None:
            for name in names:
                body = {
                    "metadata": {"name": name, "labels": {"app": "other"}},
                    "spec": {"schedulerName": "none", "containers": containers},
                }
                await self._post(POD.path(NAMESPACE), body)

        await asyncio.gather(*(creator() for _ in range(CREATORS)))

    async def _post(self, path: str, body: Object) -> None:
        async with self._session.post(self._url + path, json=body) as response:
            assert response.status == 201, await response.text()

    async def scale(self, name: str, replicas: int) -> None:
        async with self._session.patch(
            self._url + self._subject.kind.path(NAMESPACE, name, "scale"),
            json={"spec": {"replicas": replicas}},
            headers={"Content-Type": "application/merge-patch+json"},
        ) as response:
            assert response.status == 200, await response.text()

    async def delete_all(self) -> None:
        async with self._session.delete(
            self._url + self._subject.kind.path(NAMESPACE),
            json={"propagationPolicy": "Background"},
        ) as response:
            assert response.status == 200, await response.text()
