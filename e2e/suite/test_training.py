"""Helm installs the operator, `kubectl apply` starts an experiment, and an agent learns in pods."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.cluster import binaries
from e2e.cluster.cluster import Kubectl
from e2e.suite.experiments import Experiment, Status, example, is_true, steps
from e2e.suite.nodes import RELEASE, Nodes

SOLVED = 475.0
pytestmark = pytest.mark.timeout(3600)


def test_helm_test_passes(release: Nodes) -> None:
    said = release.helm("test", *RELEASE, "--timeout=180s")
    assert re.search(r"Phase:\s+Succeeded", said)


def test_cartpole_is_learnt_in_pods_and_fetched(
    release: Nodes, kubectl: Kubectl, tmp_path: Path
) -> None:
    run = Experiment(kubectl, example())
    run.until(is_true("Ready"), 600.0, "all roles are ready")
    seen: list[int] = []

    def is_over(status: Status) -> bool:
        seen.append(steps(status))
        return status["phase"] in ("Succeeded", "Failed")

    status = run.until(is_over, 2400.0, "it is over")
    assert status["phase"] == "Succeeded", status["conditions"]
    assert seen == sorted(seen)
    assert len(set(seen)) > 2, "progress is told on the way"
    assert status["episodeReturn"] >= SOLVED

    fetched = tmp_path / "run"
    greenroom(release, kubectl, tmp_path, "fetch", "rlx/cartpole-dqn", "--to", str(fetched))
    for role in ("learner", "replay", "evaluator"):
        assert (fetched / "logs" / f"{role}.log").stat().st_size > 0
    said = json.loads(greenroom(release, kubectl, tmp_path, "eval", str(fetched), "--json"))
    print(said)


def greenroom(nodes: Nodes, kubectl: Kubectl, folder: Path, *arguments: str) -> str:
    """Run the command as a user outside the cluster; return what it printed."""
    link = folder / "bin" / "kubectl"
    link.parent.mkdir(exist_ok=True)
    if not link.exists():
        link.symlink_to(binaries.path("kubectl"))
    where = [f"--namespace={kubectl.namespace}"] if arguments[0] == "fetch" else []
    done = subprocess.run(
        [Path(sys.executable).with_name("greenroom"), *arguments, *where],
        env={
            "KUBECONFIG": str(nodes.kubeconfig),
            "PATH": f"{link.parent}:/usr/bin:/bin",
            "HOME": str(folder),
        },
        capture_output=True,
        text=True,
        timeout=600.0,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
