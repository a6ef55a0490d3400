"""A client of the API server that loads an operator: it creates, watches and deletes.

async with open_session(configuration) as session:
    client = LoadClient(plane.url, session)
    watching = asyncio.create_task(client.watch(EXPERIMENT))
    await client.create(bodies, rate=2.0)
    print(client.seen.ready)
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from greenroom_operator.kinds import EXPERIMENT, POD, Kind
from greenroom_operator.names import CHILD_SELECTOR, EXPERIMENT_LABEL

NAMESPACE = "default"
CREATORS = 16


@dataclass
class Seen:
    """When things happened to each experiment, by this program's clock."""

    created: dict[str, float] = field(default_factory=dict)
    children: dict[str, list[float]] = field(default_factory=dict)
    ready: dict[str, float] = field(default_factory=dict)
    scaled: dict[str, float] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    # Children that are there now, by kind.
    present: Counter[str] = field(default_factory=Counter)

    def note(self, kind: Kind, event: str, body: dict[str, Any]) -> None:
        now, metadata = time.perf_counter(), body["metadata"]
        if kind is EXPERIMENT:
            name = metadata["name"]
            conditions = body.get("status", {}).get("conditions", [])
            if event == "DELETED":
                self.gone.add(name)
            elif any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
                self.ready.setdefault(name, now)
            return
        name = metadata["labels"][EXPERIMENT_LABEL]
        if event == "ADDED":
            self.present[kind.kind] += 1
            self.children.setdefault(name, []).append(now)
        elif event == "DELETED":
            self.present[kind.kind] -= 1
        elif kind.kind == "Deployment" and body["spec"].get("replicas", 1) > 2:
            self.scaled.setdefault(name, now)


class LoadClient:
    """It knows one namespace."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url, self._session = url, session
        self.seen = Seen()

    async def watch(self, kind: Kind) -> None:
        """Note what happens to a kind, for ever; the API server ends watches that lag behind."""
        query = {"watch": "true"} | (
            {} if kind is EXPERIMENT else {"labelSelector": CHILD_SELECTOR}
        )
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

    async def create(self, bodies: list[dict[str, Any]], rate: float) -> float:
        """Create all, ``rate`` a second at most; return the seconds it took."""
        began = time.perf_counter()
        waiting = iter(enumerate(bodies))

        async def creator() -> None:
            for index, body in waiting:
                await asyncio.sleep(max(0.0, began + index / rate - time.perf_counter()))
                name = body["metadata"]["name"]
                self.seen.created[name] = time.perf_counter()
                await self._post(EXPERIMENT.path(NAMESPACE), body)

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

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        async with self._session.post(self._url + path, json=body) as response:
            assert response.status == 201, await response.text()

    async def scale(self, name: str, replicas: int) -> None:
        async with self._session.patch(
            self._url + EXPERIMENT.path(NAMESPACE, name, "scale"),
            json={"spec": {"replicas": replicas}},
            headers={"Content-Type": "application/merge-patch+json"},
        ) as response:
            assert response.status == 200, await response.text()

    async def delete_all(self) -> None:
        async with self._session.delete(
            self._url + EXPERIMENT.path(NAMESPACE), json={"propagationPolicy": "Background"}
        ) as response:
            assert response.status == 200, await response.text()
