"""Least privilege: a whole life of an experiment uses each right of the chart, and no other."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml
from audit import granted, refused, requests_of, used
from chart_tools import render
from operator_process import OperatorProcess
from queues import KUEUE, QUEUE, queue
from test_chart_installing import EXAMPLE, chart_flags, install, may_do

from e2e.cluster.cluster import Kubectl
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.kueue import kueue
from e2e.cluster.processes import wait_until
from greenroom_operator.kinds import CHILDREN, WORKLOAD, Kind

# On a busy machine real roles and control planes take their time to start.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SECONDS = 90
NAME = "cartpole-dqn"
ACCOUNT = "greenroom-operator"


def roles(manifests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The operator's own roles; those for users are named after the resource."""
    return [
        manifest
        for manifest in manifests
        if manifest["kind"] in ("Role", "ClusterRole")
        and "rlexperiments" not in manifest["metadata"]["name"]
    ]


@pytest.mark.parametrize("settings", [(), ("singleNamespace=true",)], ids=["cluster", "namespace"])
def test_each_right_is_used_and_none_is_missing(
    plane: ControlPlane, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    install(plane.cluster, "replicas=0", *settings)
    # With the namespace's restricted Pod Security Standard, for children too.
    kubectl = plane.cluster.kubectl("system")
    # An operator of one namespace has no use for Kueue, and no right to it.
    with nullcontext() if settings else kueue(plane):
        operate(plane, kubectl, tmp_path / "log", settings)

    assert plane.cluster.audit_log is not None
    entries = requests_of(plane.cluster.audit_log, "system", ACCOUNT)
    assert refused(entries) == set()
    assert used(entries) == granted(roles(render(*settings)))


def operate(plane: ControlPlane, kubectl: Kubectl, log: Path, settings: tuple[str, ...]) -> None:
    """An operator with the chart's rights looks after a whole life."""
    if not settings:
        queue(kubectl, cpu="100")
        priority = {"apiVersion": KUEUE, "kind": "WorkloadPriorityClass", "value": 1}
        text = yaml.safe_dump(priority | {"metadata": {"name": "high"}})
        kubectl("apply", "--server-side", "-f", "-", stdin=text)
    account = plane.cluster.kubeconfig_for("system", ACCOUNT)
    operator = OperatorProcess(account, None, log, chart_flags(*settings)).start()
    try:
        operator.wait_leading()
        live(kubectl, queued=not settings)
        lease_is_renewed(plane)
    finally:
        operator.stop()
    operator.check()


def live(kubectl: Kubectl, *, queued: bool) -> None:
    """An experiment is made, grown, tampered with, finished, and removed by its TTL."""
    experiment = yaml.safe_load(EXAMPLE.read_text())
    experiment["spec"]["replay"]["storage"] = {"size": "1Gi"}
    if queued:
        experiment["metadata"]["labels"] = {QUEUE: "team", "kueue.x-k8s.io/priority-class": "high"}
    kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(experiment))
    claim = f"data-{NAME}-replay-0"
    wait_until(lambda: requested(kubectl, claim) == "1Gi", SECONDS, "it is made")

    patch(kubectl, {"spec": {"replay": {"storage": {"size": "2Gi"}}}})
    wait_until(lambda: requested(kubectl, claim) == "2Gi", SECONDS, "it has grown")

    kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(strays(kubectl, queued)))
    wait_until(lambda: not stray_names(kubectl, queued), SECONDS, "what is not planned is gone")

    patch(kubectl, {"spec": {"ttlSecondsAfterFinished": 1}})
    # What the operator writes of that, and of pods that get ready, would put out the next one.
    wait_until(lambda: is_at_rest(kubectl), SECONDS, "it has nothing more to say")
    ended = {"completionTime": "2026-01-01T00:00:00Z", "phase": "Succeeded"}
    condition = {"type": "Succeeded", "status": "True", "reason": "StopConditionMet"}
    times = {"lastTransitionTime": "2026-01-01T00:00:00Z", "message": "so says the test"}
    patch(kubectl, {"status": ended | {"conditions": [condition | times]}}, "--subresource=status")
    wait_until(lambda: not kubectl("get", "rlx", "--output=name"), SECONDS, "its TTL has passed")


def is_at_rest(kubectl: Kubectl) -> bool:
    """Whether all pods are ready, and the status says so of the spec as it is.

    Nobody answers for the learner, which is said after a while.
    """
    found = kubectl.json("get", "rlx", NAME)
    wanted = found["metadata"]["generation"]
    return any(
        each["type"] == "Progressing"
        and each["reason"] in ("AsSpecified", "LearnerSilent")
        and each["observedGeneration"] == wanted
        for each in found.get("status", {}).get("conditions", ())
    )


def lease_is_renewed(plane: ControlPlane) -> None:
    kubectl = plane.cluster.kubectl("system")

    def renewed() -> str:
        return str(kubectl.json("get", "lease", ACCOUNT)["spec"]["renewTime"])

    before = renewed()
    wait_until(lambda: renewed() != before, SECONDS, "the Lease is renewed")


def patch(kubectl: Kubectl, change: dict[str, Any], *options: str) -> None:
    kubectl("patch", "rlx", NAME, "--type=merge", f"--patch={yaml.safe_dump(change)}", *options)


def requested(kubectl: Kubectl, claim: str) -> str:
    path = "--output=jsonpath={.spec.resources.requests.storage}"
    return kubectl("get", "pvc", claim, path, "--ignore-not-found")


def strays(kubectl: Kubectl, queued: bool) -> list[dict[str, Any]]:
    """One child of each kind that is pruned, as an older operator might have left it."""
    owner = kubectl.json("get", "rlx", NAME)
    metadata = {
        "name": "stray",
        "labels": {
            "app.kubernetes.io/managed-by": "greenroom-operator",
            "greenroom.dev/experiment": NAME,
        },
        "ownerReferences": [
            {
                "apiVersion": owner["apiVersion"],
                "kind": owner["kind"],
                "name": NAME,
                "uid": owner["metadata"]["uid"],
                "controller": True,
            }
        ],
    }
    selector = {"matchLabels": {"stray": "yes"}}
    template = {
        "metadata": {"labels": {"stray": "yes"}},
        "spec": {"containers": [{"name": "worker", "image": "none"}]},
    }
    specs: dict[str, dict[str, Any]] = {
        "ConfigMap": {},
        "Service": {"spec": {"ports": [{"port": 1}]}},
        "Deployment": {"spec": {"replicas": 0, "selector": selector, "template": template}},
        "StatefulSet": {
            "spec": {
                "replicas": 0, "selector": selector, "template": template, "serviceName": "none",
            }
        },
        "PodDisruptionBudget": {"spec": {"selector": selector}},
        "NetworkPolicy": {"spec": {"podSelector": selector}},
        "Workload": {"spec": {"podSets": [{"name": "main", "count": 1, "template": template}]}},
        "PodMonitor": {"spec": {"selector": selector, "podMetricsEndpoints": []}},
    }  # fmt: skip
    return [
        {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": metadata,
            **specs[kind.kind],
        }
        for kind in known(queued)
        if kind.prunable
    ]


def known(queued: bool) -> list[Kind]:
    return [kind for kind in CHILDREN if queued or kind is not WORKLOAD]


def stray_names(kubectl: Kubectl, queued: bool) -> str:
    kinds = ",".join(f"{kind.plural}.{kind.group}".rstrip(".") for kind in known(queued))
    return "\n".join(
        line for line in kubectl("get", kinds, "--output=name").splitlines() if "/stray" in line
    )


def test_the_account_may_do_no_more(plane: ControlPlane) -> None:
    """By the API server's own answers, for what would hurt most."""
    install(plane.cluster, "replicas=0", "singleNamespace=true")
    kubectl = plane.cluster.kubectl()
    me = f"--as=system:serviceaccount:system:{ACCOUNT}"
    for verb, resource, *place in (
        ("get", "secrets"), ("list", "secrets"), ("delete", "secrets"), ("patch", "secrets"),
        ("create", "pods"), ("delete", "pods"), ("create", "pods/exec"), ("get", "pods/log"),
        ("delete", "persistentvolumeclaims"), ("create", "serviceaccounts/token"),
        ("create", "rolebindings"), ("escalate", "roles"),
        ("update", "rlexperiments.greenroom.dev"), ("update", "leases", "another"),
        ("get", "nodes"), ("list", "namespaces"),
        ("patch", "customresourcedefinitions"),
    ):  # fmt: skip
        assert not may_do(kubectl, verb, "/".join([resource, *place]), me, "--namespace=system")
    assert may_do(kubectl, "create", "deployments", me, "--namespace=system")
    assert not may_do(kubectl, "create", "deployments", me, "--namespace=default")
    assert not may_do(kubectl, "list", "pods", me, "--all-namespaces")
