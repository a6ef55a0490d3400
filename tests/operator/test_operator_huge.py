"""One experiment that is huge, broken and restless, and a small one beside it."""

import asyncio
import copy
import itertools

import pytest
from definition import control_plane
from operating import PATIENCE, apply, complete, condition, eventually, status
from reconciling import KEY, MemoryApi, Setting

from greenroom_operator import handlers
from greenroom_operator.kinds import EXPERIMENT, POD

ACTORS = 1000
PODS = 3000
SMALL = ("team", "small")
BROKEN = {"metadata": {"annotations": {"test.greenroom.dev/fail": "ImagePullBackOff"}}}


@pytest.fixture
def plane():
    """A control plane of the test's own: so many pods would be in the way of other tests."""
    with control_plane(nodes=3) as made:
        yield made


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_small_one_is_complete_while_a_huge_one_cannot_be(plane, make_operator):
    kubectl = plane.cluster.kubectl("training")
    kubectl("create", "namespace", "training")
    flags = ("--no-leader-elect", "--progress-interval=3600")
    make_operator(*flags, namespace="training", kubeconfig=kubectl.kubeconfig).wait_leading()

    apply(kubectl, "huge", actors={"replicas": ACTORS, "podTemplate": BROKEN})
    eventually(lambda: status(kubectl, "huge").get("actors", {}).get("replicas"), bool)
    apply(kubectl, "small")
    complete(kubectl, "small")
    assert condition(kubectl, "huge", "Ready")[0] == "False"

    # And nothing of the huge one is lost.
    told = f"{ACTORS}/{ACTORS} actors ImagePullBackOff"
    eventually(
        lambda: condition(kubectl, "huge", "Progressing")[2],
        lambda words: words.startswith(told),
        PATIENCE,
    )


class Slow(MemoryApi):
    """Takes a moment for each write, in which events come."""

    async def merge(self, *what, **how):
        await asyncio.sleep(0.01)
        return await super().merge(*what, **how)


def test_a_huge_one_that_never_rests_delays_no_other_though_one_works_at_a_time(monkeypatch):
    monkeypatch.setattr("reconciling.MemoryApi", Slow)

    async def run():
        setting = Setting()
        on_experiment = handlers._experiment_handler(setting.cache, setting.queue)
        on_pod = handlers._child_handler(POD, setting.cache, setting.queue)
        reconciled = []
        reconcile = setting.controller.reconcile

        async def recorded(key):
            restored = await reconcile(key)
            reconciled.append(key)
            return restored

        monkeypatch.setattr(setting.controller, "reconcile", recorded)
        working = asyncio.create_task(setting.controller.work())
        begun = False
        async with asyncio.timeout(60):
            for turn in itertools.count():
                await on_pod(event=event(turn))
                await asyncio.sleep(0)
                if not begun and turn > PODS and KEY in reconciled:
                    body = copy.deepcopy(setting.experiment)
                    body["metadata"] |= {"name": SMALL[1]}
                    body.pop("status")
                    made = setting.api.keep(EXPERIMENT, body, uid="small")
                    await on_experiment(event={"type": "ADDED", "object": made})
                    begun = True
                if SMALL in reconciled:
                    break
        assert not working.done()
        working.cancel()

    asyncio.run(run())


def event(turn):
    """The next event of one of many pods: each in turn becomes ready, and unready again."""
    ready = "True" if turn // PODS % 2 else "False"
    labels = {"greenroom.dev/experiment": KEY[1], "greenroom.dev/role": "actor"}
    number = turn % PODS
    metadata = {"name": f"x-actors-{number}", "namespace": KEY[0], "labels": labels}
    metadata |= {"uid": f"pod-{number}", "resourceVersion": str(1_000_000 + turn)}
    conditions = [{"type": "Ready", "status": ready}]
    body = {"metadata": metadata, "status": {"phase": "Running", "conditions": conditions}}
    return {"type": "MODIFIED", "object": body}
