"""One run from beginning to end: scaled, suspended, and each of its processes killed.

One test, since a cluster of two cores has room for one run at a time: each step begins where the
one before it ended.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from e2e.cluster.cluster import Kubectl
from e2e.suite.experiments import Experiment, Pod, Status, condition, example, is_true, steps
from e2e.suite.nodes import SYSTEM, Nodes

pytestmark = pytest.mark.timeout(3600)

STEADY: dict[str, Any] = {
    "stop": {"environmentSteps": 5_000_000},
    "checkpoint": {"interval": "15s"},
    # Each kill in a node is a restart; these are more than usual.
    "failurePolicy": {"backoffLimit": 30},
}
TOLERATED = 2_000
ROLES = ("actor", "evaluator", "learner", "replay")


def test_a_run_outlives_all_that_is_done_to_it(release: Nodes, kubectl: Kubectl) -> None:
    run = Experiment(kubectl, example(**STEADY))
    run.until(is_true("Ready"), 600.0, "all roles are ready")
    run.until(lambda status: status.get("learnerSteps", 0) > 0, 300.0, "it learns")

    scaling(run, kubectl)
    suspending(run, kubectl)
    for role in ROLES:
        killing(run, role, partial(delete, kubectl), f"pod of {role} deleted, grace 0")
        killing(run, role, release.kill, f"process of {role} killed")
    administrator = release.kubectl(SYSTEM)
    operators = administrator.json("get", "pods", "--selector=app.kubernetes.io/name=greenroom")
    for pod in operators["items"]:
        delete(administrator, pod)
    print("\n* operator deleted, grace 0", end="")

    wanted = steps(run.status()) + 2_000
    run.patch({"stop": {"environmentSteps": wanted}})
    status = run.until(is_true("Succeeded"), 600.0, f"it succeeds at {wanted} steps")
    assert steps(status) >= wanted
    assert status["failures"] >= len(ROLES) - 1, "restarts of all but actors were counted"


def scaling(run: Experiment, kubectl: Kubectl) -> None:
    """Actors follow, learning goes on, and no step is lost or counted twice."""
    before = steps(run.learner())
    for replicas in (3, 1):
        kubectl("scale", f"rlx/{run.name}", f"--replicas={replicas}")
        run.until(partial(are_ready, replicas), 300.0, f"{replicas} actors are ready")
        run.goes_on(before, "acting goes on")
        after = steps(run.learner())
        assert after > before
        before = after
        # Each step of this agent is one item. In the time between the two questions, and on the
        # way, there are some hundreds; what an actor did in all its life is thousands.
        inserts = run.inserts()
        print(f"; steps {after}, items {inserts}", end="", flush=True)
        assert abs(after - inserts) < TOLERATED


def are_ready(replicas: int, status: Status) -> bool:
    """Whether so many actors are there, and all of them ready."""
    actors = status["actors"]
    return bool(actors.get("ready") == actors.get("replicas") == replicas)


def suspending(run: Experiment, kubectl: Kubectl) -> None:
    """Pods leave, volumes stay, and it goes on where it was."""
    before = steps(run.learner())
    run.patch({"suspend": True})
    status = run.until(is_true("Suspended"), 300.0, "suspended")
    assert condition(status, "Suspended")["reason"] == "CheckpointRecorded"
    kept = status["checkpoint"]["environmentSteps"]
    assert kept >= before, "the checkpoint has all steps that the learner told of"
    assert not run.pods()
    claims = kubectl("get", "pvc", "--output=name").split()
    assert len(claims) == 2, claims

    run.patch({"suspend": False})
    run.until(is_true("Ready"), 300.0, "all roles are ready again")
    assert steps(run.learner()) >= kept
    run.goes_on(kept, "it goes on from its checkpoint")


def killing(run: Experiment, role: str, end: Callable[[Pod], None], what: str) -> None:
    """It goes on, and has lost nothing that was in a checkpoint."""
    (pod,) = run.pods(role)
    saved = run.status()["checkpoint"]
    before = run.learner()
    end(pod)
    print(f"\n* {what}", end="", flush=True)
    run.until(partial(run.is_back, role, pod), 300.0, f"{role} is back")
    again = run.learner()
    for count in ("environmentSteps", "learnerSteps"):
        print(f"; {count} lost: {max(0, before[count] - again[count])}", end="", flush=True)
        assert again[count] >= saved[count]
    run.goes_on(max(steps(before), steps(again)), "it goes on")


def delete(kubectl: Kubectl, pod: Pod) -> None:
    """Remove a pod as a node that is lost does, without waiting."""
    name = pod["metadata"]["name"]
    kubectl("delete", "pod", name, "--grace-period=0", "--force", "--wait=false")
