"""Helm installs the operator, `kubectl apply` starts an experiment, and an agent learns in pods."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from e2e.cluster import binaries
from e2e.cluster.binaries import REPOSITORY
from e2e.cluster.cluster import Kubectl
from e2e.suite.nodes import RELEASE, Nodes

SOLVED = 475.0
# Two cores are all that a small machine has, and the control plane asks for one of them.
SMALL = {
    "spec": {
        "containers": [
            {"name": "worker", "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}}}
        ]
    }
}

pytestmark = pytest.mark.timeout(3600)


def experiment() -> str:
    """The example, with small requests."""
    document = yaml.safe_load((REPOSITORY / "examples" / "cartpole-dqn.yaml").read_text())
    for role in ("replay", "learner", "actors", "evaluator"):
        document["spec"].setdefault(role, {})["podTemplate"] = SMALL
    return yaml.safe_dump(document)


def test_helm_test_passes(release: Nodes) -> None:
    said = release.helm("test", *RELEASE, "--timeout=180s")
    assert re.search(r"Phase:\s+Succeeded", said)


def test_cartpole_is_learnt_in_pods_and_fetched(
    release: Nodes, kubectl: Kubectl, tmp_path: Path
) -> None:
    kubectl("apply", "--server-side", "-f", "-", stdin=experiment())
    kubectl("wait", "rlx/cartpole-dqn", "--for=condition=Ready", "--timeout=600s", seconds=620.0)
    seen = []
    deadline = time.monotonic() + 2400.0
    while True:
        status = kubectl.json("get", "rlx", "cartpole-dqn")["status"]
        seen.append(status.get("environmentSteps", 0))
        print(kubectl("get", "rlx", "cartpole-dqn", "--no-headers").strip(), flush=True)
        if status["phase"] in ("Succeeded", "Failed"):
            break
        assert time.monotonic() < deadline, status
        time.sleep(10.0)
    assert status["phase"] == "Succeeded", status["conditions"]
    assert seen == sorted(seen)
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
