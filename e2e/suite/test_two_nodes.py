"""A run on two nodes beside the control plane's: drained, out of touch for a minute, and lost.

One run for all, in a cluster of its own; the last test takes one of its nodes away for good.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from e2e.cluster.cluster import KubectlError
from e2e.cluster.processes import wait_until
from e2e.kind import cluster
from e2e.suite.conftest import RESTRICTED
from e2e.suite.experiments import ROLES, Experiment, Pod, Status, example, is_true, steps
from e2e.suite.nodes import Nodes

pytestmark = [pytest.mark.timeout(1800), pytest.mark.full]

NAME = f"{cluster.NAME}-nodes"
INTERVAL = 15.0
# Seconds that a pod stays bound to a node which is not heard of; Kubernetes' own are 300.
TOLERATED = 30.0
CORE = ("learner", "replay")


@pytest.fixture(scope="module")
def pair(nodes: Nodes) -> Iterator[Nodes]:
    """A cluster with two workers, and the chart installed; what a killed test left is removed."""
    cluster.remove(nodes.engine, NAME)
    try:
        made = replace(nodes, kubeconfig=cluster.up(nodes.engine, workers=2, name=NAME))
        made.install()
        yield made
    finally:
        cluster.remove(nodes.engine, NAME)


@pytest.fixture(scope="module")
def run(pair: Nodes) -> Experiment:
    """A run of one actor that learns; all of it is on one node. It goes with its cluster."""
    administrator = pair.kubectl()
    administrator("create", "namespace", NAME)
    administrator("label", "namespace", NAME, RESTRICTED)
    _, other = pair.workers()
    administrator("cordon", other)
    run = Experiment(pair.kubectl(NAME), tolerant())
    run.until(is_true("Ready"), 600.0, "all roles are ready")
    run.until(lambda status: status.get("learnerSteps", 0) > 0, 300.0, "it learns")
    administrator("uncordon", other)
    return run


def test_a_drain_takes_one_pod_of_a_kind_at_a_time(pair: Nodes, run: Experiment) -> None:
    home = where(run, "learner")
    (other,) = set(pair.workers()) - {home}
    nodes = pair.kubectl()
    volumes = claims(pair)

    nodes("cordon", home)
    run.patch({"actors": {"replicas": 4}})
    run.until(partial(are_ready, 4), 300.0, "3 more actors, on the other node")
    nodes("uncordon", home)
    core = identities(run, *CORE)
    looks = drained(pair, run, other)
    assert fewest(looks, "actor") >= 3, "a quarter of the actors at a time"
    assert identities(run, *CORE) == core, "nothing else was touched"
    nodes("uncordon", other)

    run.patch({"actors": {"replicas": 2}})
    run.until(partial(are_ready, 2), 300.0, "2 actors")
    before = run.learner()
    looks = drained(pair, run, home)
    assert fewest(looks, *CORE) >= 1, "learner and replay one after the other"
    run.until(partial(are_ready, 2), 300.0, "all is ready on the other node")
    assert {where(run, role) for role in CORE} == {other}
    again = run.learner()
    assert steps(again) >= steps(before), "an eviction is told before, and loses nothing"
    assert again["learnerSteps"] >= before["learnerSteps"]
    assert claims(pair) == volumes, "volumes came along"
    nodes("uncordon", home)
    run.goes_on(steps(again), "it goes on")
    trouble(run)


def test_a_kubelet_away_for_a_minute_moves_no_pod(pair: Nodes, run: Experiment) -> None:
    node = where(run, "learner")
    pods, before = identities(run), steps(run.learner())
    began = time.monotonic()
    pair.engine("exec", node, "systemctl", "stop", "kubelet")
    try:
        wait_until(lambda: not pair.is_ready(node), 180.0, "the node is missed")
        print(f"\n* kubelet of {node} stopped; missed after {since(began)}", end="", flush=True)
        time.sleep(max(0.0, began + 60.0 - time.monotonic()))
        assert steps(run.learner()) > before, "training goes on meanwhile"
    finally:
        pair.engine("exec", node, "systemctl", "start", "kubelet")
    wait_until(lambda: pair.is_ready(node), 120.0, "the node is Ready again")
    print(f"\n* back after {since(began)}", end="", flush=True)
    run.until(is_true("Ready"), 300.0, "all roles are ready again")
    run.goes_on(steps(run.learner()), "it goes on")
    assert identities(run) == pods, "no pod was made anew, no container started again"


def test_a_lost_node_takes_no_more_than_an_interval(pair: Nodes, run: Experiment) -> None:
    (node,) = {where(run, role) for role in CORE}
    (other,) = set(pair.workers()) - {node}
    gone = {name for name, _ in identities(run)}
    before = run.learner()
    saved = before["checkpoint"]
    age = datetime.now(UTC) - datetime.fromisoformat(saved["time"])
    assert age.total_seconds() < 2 * INTERVAL

    began = time.monotonic()
    pair.engine("stop", "-t", "0", node)
    wait_until(lambda: not pair.is_ready(node), 120.0, "the node is missed")
    print(f"\n* container of {node} ended; missed after {since(began)}", end="", flush=True)
    wait_until(lambda: where(run, "learner") == other, TOLERATED + 60.0, "a learner elsewhere")
    print(f"\n* a learner elsewhere after {since(began)}", end="", flush=True)
    # Replay is a StatefulSet's, which waits: nobody knows that the old pod does not run. The
    # learner waits for it, so that it tells what it goes on from.
    assert where(run, "replay") == node
    wait_until(lambda: answers(run), 120.0, "the learner answers")
    again = run.learner()
    for count in ("environmentSteps", "learnerSteps"):
        lost, interval = before[count] - again[count], before[count] - saved[count]
        print(f"; {count} lost: {max(0, lost)}, of {interval} since its checkpoint", end="")
        assert again[count] >= saved[count]

    pair.kubectl()("delete", "node", node)
    deleted = time.monotonic()
    run.until(partial(is_elsewhere, run, gone), 300.0, "all roles are ready elsewhere")
    print(f", {since(deleted)} after the Node was deleted", end="", flush=True)
    run.goes_on(steps(again), "it goes on")

    wanted = steps(run.learner()) + 2_000
    run.patch({"stop": {"environmentSteps": wanted}})
    status = run.until(is_true("Succeeded"), 600.0, f"it succeeds at {wanted} steps")
    assert steps(status) >= wanted
    trouble(run)


def tolerant() -> dict[str, Any]:
    """The example, its pods bound to a node that is not heard of for a short time only."""
    endless = {"environmentSteps": 5_000_000}
    document = example(stop=endless, checkpoint={"interval": f"{INTERVAL:g}s"})
    short = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": int(TOLERATED)}
    taints = ("not-ready", "unreachable")
    tolerations = [{"key": f"node.kubernetes.io/{taint}", **short} for taint in taints]
    for role in ROLES:
        spec = document["spec"][role]["podTemplate"]["spec"]
        document["spec"][role]["podTemplate"] = {"spec": {**spec, "tolerations": tolerations}}
    return document


def drained(pair: Nodes, run: Experiment, node: str) -> list[list[Pod]]:
    """Drain a node; return the run's pods at each look until it was empty."""
    looks: list[list[Pod]] = []
    counts: list[int] = []
    began = time.monotonic()

    def look() -> None:
        looks.append(run.pods())
        counts.append(steps(run.status()))

    said = pair.drain(node, look)
    assert counts == sorted(counts), "the status takes no step back"
    print(f"\n* {node} drained in {since(began)}, {said.count('evicted')} pods evicted", end="")
    assert not [pod for pod in run.pods() if pod["spec"].get("nodeName") == node]
    return looks


def fewest(looks: list[list[Pod]], *roles: str) -> int:
    """The smallest number of pods of these roles that were well at one time."""
    found = min(sum(is_well(pod) for pod in look if role_of(pod) in roles) for look in looks)
    print(f"; never less than {found} of {' and '.join(roles)} ready", end="", flush=True)
    return found


def is_well(pod: Pod) -> bool:
    """Whether a pod is ready and stays, as a PodDisruptionBudget counts it."""
    conditions = pod["status"].get("conditions", ())
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def role_of(pod: Pod) -> str:
    return str(pod["metadata"]["labels"]["app.kubernetes.io/component"])


def where(run: Experiment, role: str) -> str:
    """The node of a role's newest pod; empty while it has none."""
    pods = sorted(run.pods(role), key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    return str(pods[-1]["spec"].get("nodeName", "")) if pods else ""


def are_ready(actors: int, status: Status) -> bool:
    """Whether replay, learner and so many actors are ready."""
    told = status["actors"]
    return is_true("Ready")(status) and told.get("ready") == told.get("replicas") == actors


def is_elsewhere(run: Experiment, gone: set[str], status: Status) -> bool:
    """Whether other pods than these do everything."""
    pods = run.pods()
    stays = gone & {pod["metadata"]["uid"] for pod in pods}
    return not stays and all(map(is_well, pods)) and is_true("Ready")(status)


def identities(run: Experiment, *roles: str) -> set[tuple[str, int]]:
    """Its pods, and how often their containers were started again."""
    return {
        (pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"])
        for pod in run.pods()
        if not roles or role_of(pod) in roles
    }


def answers(run: Experiment) -> bool:
    try:
        run.learner()
    except KubectlError:
        return False
    return True


def trouble(run: Experiment) -> None:
    """Print what was counted as a failure, and why containers ended."""
    print(f"; failures: {run.status().get('failures', 0)}", end="", flush=True)
    for pod in run.pods():
        for container in pod["status"].get("containerStatuses", ()):
            if ended := container.get("lastState", {}).get("terminated"):
                words = ended.get("message", "").strip().rpartition("\n")[2]
                print(f"\n  {pod['metadata']['name']}: {ended['exitCode']}, {words}", end="")


def claims(pair: Nodes) -> dict[str, str]:
    """The volume of each claim."""
    found = pair.kubectl().json("get", "persistentvolumeclaims", "--all-namespaces")["items"]
    return {claim["metadata"]["name"]: claim["spec"]["volumeName"] for claim in found}


def since(began: float) -> str:
    return f"{time.monotonic() - began:.0f} s"
