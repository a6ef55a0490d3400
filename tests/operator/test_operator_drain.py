"""Evictions, as a drain of nodes makes them: what the API server takes, and what it refuses."""

import pytest
from definition import control_plane
from operating import apply, eventually, ready

from e2e.cluster.client import Api, ApiError

NOT_READY = {"metadata": {"annotations": {"test.greenroom.dev/fail": "NotReady"}}}
TAKEN, REFUSED = 201, 429


def evict(kubectl, role):
    """Ask for the eviction of a pod of a role; return the code of the answer."""
    pods = f"/api/v1/namespaces/{kubectl.namespace}/pods"
    kind = {"apiVersion": "policy/v1", "kind": "Eviction"}
    # Not by kubectl, whose drain asks again and again until it may.
    with Api.of(kubectl.kubeconfig) as api:
        found = api.get(pods, labelSelector=f"greenroom.dev/role={role}")["items"]
        name = found[0]["metadata"]["name"]
        metadata = {"name": name, "namespace": kubectl.namespace}
        try:
            api.create(f"{pods}/{name}/eviction", {**kind, "metadata": metadata})
        except ApiError as error:
            return error.code
    return TAKEN


def budget(kubectl, name, **wanted):
    """Wait until the disruption controller counts so many pods for a budget."""

    def seen():
        (found,) = kubectl.json("get", "pdb", f"--field-selector=metadata.name={name}")["items"]
        return {field: found.get("status", {}).get(field) for field in wanted}

    eventually(lambda: kubectl("get", "pdb", "--output=name"), lambda names: name in names)
    eventually(seen, lambda counts: counts == wanted)


@pytest.fixture
def plane():
    """A control plane of the test's own, whose nodes may stand still for a moment."""
    with control_plane(nodes=1) as made:
        yield made


@pytest.mark.slow
def test_a_drain_takes_one_of_replay_and_learner_at_a_time(plane, make_operator):
    kubectl = plane.cluster.kubectl("training")
    kubectl("create", "namespace", "training")
    make_operator(namespace="training", kubeconfig=kubectl.kubeconfig).wait_leading()
    apply(kubectl, "x")
    ready(kubectl, "x")
    budget(kubectl, "x-core", expectedPods=2, currentHealthy=2)

    # A real replay takes its time to leave; one of kwok's does while kwok is paused.
    plane.kwok.pause()
    assert evict(kubectl, "replay") == TAKEN
    assert evict(kubectl, "learner") == REFUSED
    plane.kwok.resume()

    # But the drain ends: once replay is ready elsewhere, it is the learner's turn.
    eventually(lambda: evict(kubectl, "learner"), lambda code: code == TAKEN)
    ready(kubectl, "x")


def test_pods_that_are_not_ready_hold_up_no_drain(operator, kubectl):
    template = {"podTemplate": NOT_READY}
    apply(kubectl, "x", replay=template, learner=template, actors={**template, "replicas": 2})
    # Fewer are healthy than a budget wants, which of itself would let none go, ever.
    budget(kubectl, "x-core", expectedPods=2, currentHealthy=0, desiredHealthy=1)
    budget(kubectl, "x-actors", expectedPods=2, currentHealthy=0, desiredHealthy=1)
    # Of a pod that does not run yet no budget is asked.
    eventually(
        lambda: [pod["status"]["phase"] for pod in kubectl.json("get", "pods")["items"]],
        lambda phases: phases == ["Running"] * 5,
    )

    for role in ("learner", "replay", "actor"):
        assert evict(kubectl, role) == TAKEN
