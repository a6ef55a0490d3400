"""The operator comes and goes; runs stay until they are deleted, and leave nothing behind."""

from __future__ import annotations

import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.cluster.binaries import REPOSITORY
from e2e.cluster.cluster import Kubectl
from e2e.cluster.processes import wait_until
from e2e.kind.cluster import REGISTRY
from e2e.kind.images import build_and_push
from e2e.suite.experiments import Experiment, example, is_true, steps
from e2e.suite.nodes import RELEASE, SYSTEM, Nodes

pytestmark = [pytest.mark.timeout(1800), pytest.mark.full]

OLDER = "84d2bdf"
"""A commit that is upgraded from."""

OWNED = (
    "statefulsets,deployments,replicasets,pods,services,configmaps,secrets,"
    "persistentvolumeclaims,poddisruptionbudgets,networkpolicies"
)


def test_a_run_outlives_the_operator_and_is_adopted(release: Nodes, kubectl: Kubectl) -> None:
    run = Experiment(kubectl, example(stop={"environmentSteps": 5_000_000}))
    run.until(is_true("Ready"), 600.0, "all roles are ready")
    run.goes_on(0, "it acts")
    pods = identities(run)

    release.helm("uninstall", *RELEASE, "--wait", "--timeout=120s")
    release.kubectl(SYSTEM)("wait", "pods", "--all", "--for=delete", "--timeout=60s")
    later = steps(run.learner()) + 1_000
    wait_until(lambda: steps(run.learner()) > later, 120.0, "it goes on without an operator")
    print("\n* it goes on without an operator", end="")

    release.install()
    run.goes_on(later, "the new operator tells of it")
    assert identities(run) == pods, "no pod was made anew"

    kubectl("delete", "rlx", run.name, "--timeout=120s", seconds=130.0)
    kubectl(
        *("wait", OWNED, f"--selector=app.kubernetes.io/instance={run.name}"),
        *("--for=delete", "--timeout=180s"),
        seconds=200.0,
    )
    left = kubectl("get", OWNED, f"--selector=app.kubernetes.io/instance={run.name}", "-o", "name")
    assert not left
    volumes = release.kubectl().json("get", "persistentvolumes")["items"]
    claims = [volume["spec"]["claimRef"]["namespace"] for volume in volumes]
    assert kubectl.namespace not in claims


def test_an_upgrade_interrupts_no_run(release: Nodes, kubectl: Kubectl, tmp_path: Path) -> None:
    archive = tmp_path / "older.tar"
    output = f"--output={archive}"
    subprocess.run(["git", "archive", output, OLDER], cwd=REPOSITORY, check=True, timeout=60)
    source = tmp_path / "older"
    with tarfile.open(archive) as packed:
        packed.extractall(source, filter="data")
    images = build_and_push(release.engine, REGISTRY, source, OLDER)
    replace(release, images=images, source=source).install()
    try:
        run = Experiment(kubectl, example(stop={"environmentSteps": 5_000_000}))
        run.until(is_true("Ready"), 600.0, "all roles are ready")
        run.goes_on(0, "it acts")
        pods = identities(run)
    finally:
        release.install()
    print("\n* upgraded", end="")
    status = run.status()
    run.goes_on(steps(status), "the newer operator tells of it")
    assert identities(run) == pods, "no pod was made anew"
    assert status["images"]["worker"] == str(images["worker"]), "as it was begun"


def identities(run: Experiment) -> set[tuple[str, int]]:
    """Its pods, and how often their containers were restarted."""
    return {
        (pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"])
        for pod in run.pods()
    }
