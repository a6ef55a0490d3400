"""What happens to nodes: the API server is killed, the kubelet is away."""

from __future__ import annotations

import pytest

from e2e.cluster.cluster import Kubectl, KubectlError
from e2e.cluster.processes import wait_until
from e2e.suite.experiments import Experiment, Status, example, is_true, steps
from e2e.suite.nodes import Nodes

pytestmark = [pytest.mark.timeout(1800), pytest.mark.full]


def test_training_outlives_api_server_and_kubelet(release: Nodes, kubectl: Kubectl) -> None:
    run = Experiment(kubectl, example(stop={"environmentSteps": 5_000_000}))
    run.until(is_true("Ready"), 600.0, "all roles are ready")
    before = run.goes_on(0, "it acts")
    (node,) = {pod["spec"]["nodeName"] for pod in run.pods()}
    pods = {pod["metadata"]["uid"] for pod in run.pods()}

    api_server = release.kubectl("kube-system").json(
        "get", "pods", "--selector=component=kube-apiserver"
    )["items"][0]
    release.kill(api_server)
    wait_until(lambda: answers(kubectl), 120.0, "the API server is back")
    print("\n* API server killed, and back", end="")
    before = run.goes_on(steps(before), "it goes on")

    release.engine("exec", node, "systemctl", "stop", "kubelet")
    try:
        # A node that is not heard of is NotReady after most of a minute.
        wait_until(lambda: not release.is_ready(node), 180.0, "the node is missed")
        away = run.status()
    finally:
        release.engine("exec", node, "systemctl", "start", "kubelet")
    wait_until(lambda: release.is_ready(node), 120.0, "the node is Ready again")
    print("\n* kubelet away until its node was missed, and back", end="")
    again: Status = run.until(is_true("Ready"), 300.0, "all roles are ready again")
    assert steps(again) >= steps(away) >= steps(before)
    run.goes_on(steps(again), "it goes on")
    assert {pod["metadata"]["uid"] for pod in run.pods()} == pods, "no pod was made anew"


def answers(kubectl: Kubectl) -> bool:
    try:
        kubectl("get", "--raw", "/readyz")
    except KubectlError:
        return False
    return True
