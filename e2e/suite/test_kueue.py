"""Experiments in a queue of Kueue's: quota for one, an eviction, and the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from e2e.cluster.cluster import Kubectl
from e2e.cluster.processes import wait_until
from e2e.suite.experiments import Experiment, Status, condition, example, is_true, steps
from e2e.suite.kueue import kueue
from e2e.suite.nodes import Nodes

pytestmark = [pytest.mark.timeout(1800), pytest.mark.full]

KUEUE = "kueue.x-k8s.io/v1beta2"
# Four pods of the example ask for a tenth of a core each.
CPU_OF_ONE = "600m"


@pytest.fixture
def queue(release: Nodes, kubectl: Kubectl) -> Iterator[str]:
    """A queue with quota for one experiment; Kueue goes with it."""
    with kueue(release):
        name = kubectl.namespace
        quotas = [
            {"name": "cpu", "nominalQuota": CPU_OF_ONE},
            {"name": "memory", "nominalQuota": "100Gi"},
        ]
        flavors = [{"name": name, "resources": quotas}]
        group = {"coveredResources": ["cpu", "memory"], "flavors": flavors}
        for kind, spec in (
            ("ResourceFlavor", {"nodeLabels": {"kubernetes.io/os": "linux"}}),
            ("ClusterQueue", {"namespaceSelector": {}, "resourceGroups": [group]}),
            ("LocalQueue", {"clusterQueue": name}),
        ):
            body = {"apiVersion": KUEUE, "kind": kind, "metadata": {"name": name}, "spec": spec}
            kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(body))
        yield name
        # Kueue lets what it holds quota for go; without it nothing would.
        kubectl("delete", "rlx", "--all", "--timeout=120s", seconds=130.0)
        for kind in ("localqueue", "clusterqueue", "resourceflavor"):
            kubectl("delete", kind, name, "--timeout=60s", seconds=70.0)


def queued(name: str, queue: str, **spec: object) -> dict[str, Any]:
    """The example, in that queue."""
    document = example(name, **spec)
    document["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": queue}
    return document


def waits(status: Status) -> bool:
    """Whether it waits, and says so."""
    admitted = condition(status, "Admitted")
    return status.get("phase") == "Queued" and "unused quota" in admitted.get("message", "")


def test_the_second_waits_for_the_first_and_an_evicted_one_goes_on(
    queue: str, kubectl: Kubectl
) -> None:
    first = Experiment(kubectl, queued("first", queue, stop={"environmentSteps": 15_000}))
    first.until(is_true("Ready"), 300.0, "the first is admitted and ready")
    for pod in first.pods():
        assert pod["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
    second = Experiment(kubectl, queued("second", queue, stop={"environmentSteps": 5_000_000}))
    second.until(waits, 120.0, "the second waits")
    assert not second.pods()

    first.until(is_true("Succeeded"), 600.0, "the first succeeds")
    second.until(is_true("Ready"), 300.0, "the second is ready")
    assert said(kubectl, "first", "Finished") == ("True", "Succeeded")

    second.goes_on(2_000, "it learns")
    workload = ("patch", "workload", "rlexperiment-second", "--type=merge", "--patch")
    kubectl(*workload, "spec: {active: false}")
    status = second.until(
        lambda status: status["phase"] == "Queued", 300.0, "it was evicted, and has saved"
    )
    assert not second.pods()
    saved = status["checkpoint"]
    assert saved["final"]
    assert condition(status, "Admitted")["reason"] == "Evicted"
    wait_until(
        lambda: said(kubectl, "second", "QuotaReserved")[0] == "False", 60.0, "quota is given back"
    )

    kubectl(*workload, "spec: {active: true}")
    second.until(is_true("Ready"), 300.0, "it is admitted again")
    assert steps(second.learner()) >= saved["environmentSteps"]
    status = second.goes_on(saved["environmentSteps"], "it goes on from its checkpoint")
    second.patch({"stop": {"environmentSteps": steps(status) + 1_000}})
    second.until(is_true("Succeeded"), 300.0, "it succeeds")


def said(kubectl: Kubectl, name: str, kind: str) -> tuple[str, str]:
    """Status and reason of a condition of an experiment's Workload."""
    status = kubectl.json("get", "workload", f"rlexperiment-{name}").get("status", {})
    found = condition(status, kind)
    return found.get("status", ""), found.get("reason", "")
