"""Reconciles of one experiment against an API server in memory."""

import copy
import itertools
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).with_name("plan")))

from plan_tools import OPTIONS, SPEC

from greenroom_operator.cache import Cache
from greenroom_operator.controller import Controller
from greenroom_operator.errors import Conflict, NotFound
from greenroom_operator.events import EventPoster
from greenroom_operator.kinds import EXPERIMENT
from greenroom_operator.metrics import Metrics
from greenroom_operator.queue import WorkQueue

KEY = ("team", "x")
UID = "7b1f9b57-2c0e-4f43-9d3c-0f8f0e6d2a11"


class MemoryApi:
    """Objects by kind and name; `fault` is asked before each write, and may raise."""

    def __init__(self):
        self.versions = itertools.count(1)
        self.objects = {}
        self.fault = lambda kind, verb: None
        metadata = {"name": "x", "namespace": "team", "generation": 1}
        metadata["creationTimestamp"] = "2026-11-24T11:00:00Z"
        self.keep(EXPERIMENT, {"metadata": metadata, "spec": copy.deepcopy(SPEC)}, uid=UID)

    def keep(self, kind, body, **metadata):
        """Store an object as a new version; return it."""
        name = body["metadata"]["name"]
        known = self.objects.get((kind.kind, name), {"metadata": {"uid": f"{kind.kind}-{name}"}})
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **known, **copy.deepcopy(body)}
        body["metadata"] |= {"uid": known["metadata"]["uid"]} | metadata
        body["metadata"]["uid"] = body["metadata"].get("uid") or UID
        body["metadata"]["resourceVersion"] = str(next(self.versions))
        self.objects[kind.kind, name] = body
        return copy.deepcopy(body)

    async def apply(self, kind, manifest):
        self.fault(kind, "apply")
        fields = [{"manager": "greenroom-operator", "operation": "Apply", "fieldsV1": {}}]
        return self.keep(kind, manifest, managedFields=fields)

    async def create(self, kind, manifest):
        self.fault(kind, "create")
        if (kind.kind, manifest["metadata"]["name"]) in self.objects:
            raise Conflict("it is there", status=409, reason="AlreadyExists")
        return self.keep(kind, manifest)

    async def merge(self, kind, namespace, name, patch, *, subresource=""):
        self.fault(kind, "merge")
        body = copy.deepcopy(self.objects[kind.kind, name])
        section = subresource or "spec"
        merged = body.get(section, {}) | patch[section]
        body[section] = {field: value for field, value in merged.items() if value is not None}
        return self.keep(kind, body)

    async def metadata(self, kind, namespace, name):
        if (kind.kind, name) not in self.objects:
            raise NotFound("there is none", status=404, reason="NotFound")
        return self.objects[kind.kind, name]["metadata"]


class Setting:
    """A controller with all that it works with; `turn` is one reconcile, as a worker does it."""

    def __init__(self, poll_seconds=15.0):
        self.api, self.cache, self.queue = MemoryApi(), Cache(), WorkQueue()
        self.asked = []
        parts = (self.api, self.cache, self.queue, self, EventPoster(self.api), Metrics())
        self.controller = Controller(*parts, OPTIONS, poll_seconds)
        self.cache.experiment("ADDED", self.experiment)

    @property
    def experiment(self):
        return self.api.objects["RLExperiment", "x"]

    def schedule(self, key, seconds):
        self.asked.append(seconds)

    def condition(self, kind):
        (found,) = (it for it in self.experiment["status"]["conditions"] if it["type"] == kind)
        return found["status"], found["reason"], found["message"]

    def replicas(self, name):
        return self.api.objects["Deployment", name]["spec"]["replicas"]

    async def turn(self):
        self.queue.add(KEY, 0)
        await self.controller._turn(await self.queue.get())


def refusal(kind, error):
    def fault(of, verb):
        if of is kind:
            raise error

    return fault
