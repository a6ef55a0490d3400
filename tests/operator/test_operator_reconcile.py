"""Reconciles against an API server in memory that changes, refuses and fails as a test says."""

import asyncio
import copy
import itertools
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).with_name("plan")))

from plan_tools import OPTIONS, SPEC

from greenroom_operator import leader, sync
from greenroom_operator.cache import Cache
from greenroom_operator.controller import Controller
from greenroom_operator.errors import ApiRefused, ApiUnavailable, Conflict, NotFound
from greenroom_operator.events import EventPoster
from greenroom_operator.kinds import BY_NAME, DEPLOYMENT, EXPERIMENT, POD, SECRET, VOLUME_CLAIM
from greenroom_operator.leader import Lease, LeaseLost
from greenroom_operator.metrics import Metrics
from greenroom_operator.queue import Urgency, WorkQueue
from greenroom_operator.sync import Synchronizer

KEY = ("team", "x")
UID = "7b1f9b57-2c0e-4f43-9d3c-0f8f0e6d2a11"
TOKEN = f"x-token-{UID[:8]}"


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


def test_a_spec_that_changed_while_the_status_was_written_is_taken_up():
    async def run():
        setting = Setting()
        await setting.turn()
        await setting.turn()
        assert not len(setting.queue)

        def scaled(kind, verb):
            # Between the reconcile's look at the spec and its write; the answer tells of it.
            if kind is EXPERIMENT and verb == "merge":
                setting.api.fault = lambda kind, verb: None
                body = copy.deepcopy(setting.experiment)
                body["spec"]["actors"] = {"replicas": 3}
                setting.api.keep(EXPERIMENT, body, generation=2)

        # A status in which nothing but a count changes, as progress does every 30 s.
        labels = {"greenroom.dev/experiment": "x", "greenroom.dev/role": "actor"}
        metadata = {"name": "x-actors-1", "namespace": "team", "labels": labels}
        setting.cache.pod("ADDED", setting.api.keep(POD, {"metadata": metadata}))
        setting.api.fault = scaled
        await setting.turn()
        assert setting.experiment["status"]["actors"]["replicas"] == 1
        assert setting.replicas("x-actors") == 1

        # The event of that change is older than what the cache has: nothing else wakes it.
        async with asyncio.timeout(5):
            await setting.controller._turn(await setting.queue.get())
        assert setting.replicas("x-actors") == 3
        assert setting.experiment["status"]["observedGeneration"] == 2

    asyncio.run(run())


def test_a_secret_that_is_refused_is_told_and_made_later():
    async def run():
        setting = Setting()
        error = ApiRefused("exceeded quota: secrets", status=403, reason="Forbidden")
        setting.api.fault = refusal(SECRET, error)
        await setting.turn()
        message = f"Secret {TOKEN} was refused: exceeded quota: secrets"
        assert setting.condition("Progressing") == ("False", "ChildRefused", message)
        assert "tokenSecret" not in setting.experiment["status"]
        assert ("Deployment", "x-learner") in setting.api.objects

        setting.api.fault = lambda kind, verb: None
        await setting.turn()
        assert setting.experiment["status"]["tokenSecret"] == TOKEN
        assert setting.condition("Progressing")[1] != "ChildRefused"

    asyncio.run(run())


def test_the_secret_of_somebody_else_that_is_missing_is_not_made():
    async def run():
        setting = Setting()
        await setting.turn()
        made = []
        setting.api.fault = lambda kind, verb: made.append(kind.kind)
        for name, wanted in (("theirs", []), (TOKEN, ["Secret"])):
            setting.api.objects.pop(("Secret", TOKEN), None)
            setting.cache.pod("MODIFIED", pod_without_secret(setting.api, name))
            await setting.turn()
            assert [kind for kind in made if kind == "Secret"] == wanted

    asyncio.run(run())


def pod_without_secret(api, name):
    words = f'secret "{name}" not found'
    waiting = {"reason": "CreateContainerConfigError", "message": words}
    status = {"containerStatuses": [{"name": "worker", "state": {"waiting": waiting}}]}
    labels = {"greenroom.dev/experiment": "x", "greenroom.dev/role": "learner"}
    metadata = {"name": "x-learner-1", "namespace": "team", "labels": labels}
    return api.keep(POD, {"metadata": metadata, "status": status})


def test_a_kind_whose_webhook_is_away_holds_up_no_other_and_is_told():
    async def run():
        setting = Setting()
        error = ApiUnavailable("failed calling webhook", reason="500")
        setting.api.fault = refusal(VOLUME_CLAIM, error)
        await setting.turn()
        assert ("Deployment", "x-evaluator") in setting.api.objects
        # Once may be by chance: nobody is alarmed.
        assert "conditions" not in setting.experiment.get("status", {})
        assert setting.queue.failures(KEY) == 1

        await setting.turn()
        message = "PersistentVolumeClaim x-learner was refused: failed calling webhook"
        assert setting.condition("Progressing") == ("False", "ChildRefused", message)
        assert setting.queue.failures(KEY) == 2

        setting.api.fault = lambda kind, verb: None
        await setting.turn()
        assert setting.condition("Progressing")[1] != "ChildRefused"
        assert setting.queue.failures(KEY) == 0

    asyncio.run(run())


def test_a_write_at_the_same_moment_as_anothers_is_tried_again_and_alarms_nobody():
    async def run():
        setting = Setting()
        error = Conflict("the object has been modified", status=409, reason="Conflict")
        setting.api.fault = refusal(DEPLOYMENT, error)
        await setting.turn()
        assert ("NetworkPolicy", "x") in setting.api.objects
        assert "conditions" not in setting.experiment.get("status", {})
        assert setting.queue.failures(KEY) == 1

        setting.api.fault = lambda kind, verb: None
        await setting.turn()
        assert setting.replicas("x-learner") == 1
        assert setting.condition("Progressing")[1] != "ChildRefused"

    asyncio.run(run())


def test_who_fights_over_a_child_is_answered_more_and_more_slowly():
    async def run():
        setting = Setting()
        await setting.turn()
        for fights in range(1, 5):
            body = setting.api.keep(DEPLOYMENT, setting.api.objects["Deployment", "x-actors"])
            del setting.api.objects["Deployment", "x-actors"]
            setting.cache.child(DEPLOYMENT, "DELETED", body)
            await setting.turn()
            assert setting.replicas("x-actors") == 1
            assert setting.queue.failures(KEY) == fights
        # An event of the other one's next change does not bring it forward.
        setting.queue.add(KEY, Urgency.NEW)
        assert len(setting.queue) == 0

        await setting.turn()
        assert setting.queue.failures(KEY) == 0

    asyncio.run(run())


@pytest.mark.parametrize("labelled", [True, False])
def test_no_learner_runs_on_a_volume_that_belongs_to_another(labelled):
    async def run():
        setting = Setting()
        # As an experiment of that name left it behind, or somebody of another trade.
        metadata = {"name": "x-learner", "namespace": "team"}
        if labelled:
            metadata["labels"] = {"greenroom.dev/experiment": "x"}
            metadata["annotations"] = {"greenroom.dev/owner": "a-run-of-before"}
        body = setting.api.keep(VOLUME_CLAIM, {"metadata": metadata, "spec": {}})
        setting.cache.child(VOLUME_CLAIM, "ADDED", body)
        for _ in range(2):
            await setting.turn()
            assert setting.replicas("x-learner") == 0
            assert setting.replicas("x-actors") == 1
        status, reason, message = setting.condition("Progressing")
        assert (status, reason) == ("False", "ChildRefused")
        assert "PersistentVolumeClaim x-learner is there already" in message

        # Away with it; then it goes on by itself.
        del setting.api.objects["PersistentVolumeClaim", "x-learner"]
        body["metadata"]["resourceVersion"] = str(next(setting.api.versions))
        setting.cache.child(VOLUME_CLAIM, "DELETED", body)
        await setting.turn()
        assert setting.replicas("x-learner") == 1

    asyncio.run(run())


def test_what_an_experiment_of_that_name_left_behind_is_made_ours():
    async def run():
        setting = Setting()
        await setting.turn()
        # `kubectl delete --cascade=orphan` and the same file again: another uid, no owner.
        body = copy.deepcopy(setting.experiment)
        del body["status"]
        body["metadata"]["uid"] = "another"
        del setting.api.objects["RLExperiment", "x"]
        setting.api.keep(EXPERIMENT, body, uid="another")
        setting.cache.experiment("ADDED", setting.experiment)
        for (kind, _), child in list(setting.api.objects.items()):
            if kind not in ("RLExperiment", "Secret"):
                del child["metadata"]["ownerReferences"]
                setting.cache.child(
                    BY_NAME[kind], "MODIFIED", setting.api.keep(BY_NAME[kind], child)
                )
        await setting.turn()

        learner = setting.api.objects[DEPLOYMENT.kind, "x-learner"]
        (owner,) = learner["metadata"]["ownerReferences"]
        assert owner["uid"] == "another"
        (container,) = learner["spec"]["template"]["spec"]["containers"]
        assert {"name": "GREENROOM_UID", "value": "another"} in container["env"]

    asyncio.run(run())


@pytest.mark.parametrize("seconds", [1.0, 15.0, 60.0])
def test_learners_are_asked_as_often_as_the_operator_is_told(seconds):
    async def run():
        setting = Setting(poll_seconds=seconds)
        labels = {"greenroom.dev/experiment": "x", "greenroom.dev/role": "learner"}
        metadata = {"name": "x-learner-1", "namespace": "team", "labels": labels}
        running = {"phase": "Running", "podIP": "127.0.0.1"}
        pod = setting.api.keep(POD, {"metadata": metadata, "status": running})
        setting.cache.pod("ADDED", pod)
        await setting.turn()
        assert setting.asked[-1] == pytest.approx(seconds, rel=0.11)

        # One that leaves is asked each second all the same.
        leaves = datetime.now(UTC) + timedelta(seconds=60)
        pod["metadata"] |= {"deletionTimestamp": leaves.isoformat()}
        setting.cache.pod("MODIFIED", setting.api.keep(POD, pod))
        await setting.turn()
        assert setting.asked[-1] == 1.0

    asyncio.run(run())


@pytest.mark.parametrize(("status", "reason"), [(410, "Expired"), (403, "Forbidden")])
def test_a_comparison_that_is_refused_is_made_later(monkeypatch, status, reason):
    monkeypatch.setattr(sync, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(sync, "SETTLE_SECONDS", 0.01)
    done = asyncio.Event()
    answers = iter([ApiRefused("not now", status=status, reason=reason)])

    class Lists:
        async def list(self, kind, namespace, *, selector=""):
            if error := next(answers, None):
                raise error
            yield 1, []
            if kind is EXPERIMENT:
                done.set()

    async def run():
        synchronizer = Synchronizer(Lists(), Cache(), WorkQueue(), (), 3600.0)
        task = asyncio.create_task(synchronizer.run())
        synchronizer.want()
        async with asyncio.timeout(5):
            await done.wait()
        assert not task.done()
        task.cancel()

    asyncio.run(run())


def test_a_lease_is_held_though_one_renewal_is_refused(monkeypatch):
    monkeypatch.setattr(leader, "RENEW_SECONDS", 0.01)
    refused = ApiRefused("the token is not known yet", status=401, reason="Unauthorized")

    class Restarted:
        """Knows no token at the second and third request, as an API server that has begun anew."""

        def __init__(self):
            self.requests, self.lease = 0, {"spec": {}}

        async def request(self, method, path, body=None, *, seconds):
            self.requests += 1
            if self.requests in (3, 4):
                raise refused
            if method == "PUT":
                self.lease = body
            return self.lease

    async def run():
        server = Restarted()
        lease = Lease(server, "team", "operator", "a")
        await lease.acquire()
        holding = asyncio.create_task(lease.hold())
        async with asyncio.timeout(5):
            while server.requests < 10:
                await asyncio.sleep(0.01)
        assert not holding.done()
        holding.cancel()

    asyncio.run(run())


def test_a_lease_whose_renewal_takes_too_long_is_lost_in_time(monkeypatch):
    monkeypatch.setattr(leader, "DURATION_SECONDS", 1.0)
    monkeypatch.setattr(leader, "SAFETY_SECONDS", 0.5)
    monkeypatch.setattr(leader, "RENEW_SECONDS", 0.05)

    class Patience:
        """Answers while the Lease is taken, then no more, as one that asks for patience."""

        requests = iter(("GET", "PUT"))

        async def request(self, method, path, body=None, *, seconds):
            if next(self.requests, None) is None:
                await asyncio.Event().wait()
            return {"spec": {}} if method == "GET" else body

    async def run():
        lease = Lease(Patience(), "team", "operator", "a")
        await lease.acquire()
        async with asyncio.timeout(10):
            with pytest.raises(LeaseLost):
                await lease.hold()

    asyncio.run(run())
