"""The real Kueue on the cluster, as its own manifests install it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from e2e.cluster import binaries
from e2e.cluster.cluster import KubectlError
from e2e.cluster.kueue import manifests
from e2e.cluster.processes import wait_until
from e2e.kind.cluster import REGISTRY
from e2e.kind.engine import run
from e2e.kind.images import build_one
from e2e.suite.nodes import SYSTEM, Nodes

KUEUE_SYSTEM = "kueue-system"


@contextmanager
def kueue(nodes: Nodes) -> Iterator[None]:
    """Have it on the cluster inside the block, and the operator know so."""
    kubectl = partial(_kubectl, nodes.kubeconfig)
    file = nodes.kubeconfig.with_name("kueue.yaml")
    file.write_text(yaml.dump_all(_objects(kubectl, _image(nodes)), Dumper=yaml.CSafeDumper))
    try:
        kubectl("apply", "--server-side", "-f", file)
        system = nodes.kubectl(KUEUE_SYSTEM)
        system(
            *("rollout", "status", "deployment/kueue-controller-manager", "--timeout=180s"),
            seconds=200.0,
        )
        # It would notice by itself, some minutes later.
        _restart_operator(nodes)
        yield
    finally:
        kubectl("delete", "-f", file, "--ignore-not-found", "--wait", "--timeout=180s")
        _restart_operator(nodes)


def _kubectl(kubeconfig: Path, *arguments: str | Path) -> str:
    """Run kubectl where objects say themselves in which namespace they are."""
    return run([binaries.path("kubectl"), f"--kubeconfig={kubeconfig}", *arguments], {}, 300.0)


def _image(nodes: Nodes) -> str:
    """Build an image of the binary, and push it; return its name."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(binaries.path("kueue"), Path(folder) / "manager")
        (Path(folder) / "Dockerfile").write_text(
            'FROM scratch\nCOPY manager /manager\nUSER 65532:65532\nENTRYPOINT ["/manager"]\n'
        )
        return str(build_one(nodes.engine, f"{REGISTRY}/kueue", folder))


def _objects(kubectl: Callable[..., str], image: str) -> Iterator[dict[str, Any]]:
    """Yield its manifests, as kustomize makes them, with that image."""
    text = kubectl("kustomize", manifests().parent / "default")
    for body in yaml.load_all(text, Loader=yaml.CSafeLoader):
        if body["kind"] == "APIService":
            continue  # of a view on queues that nobody asks for here
        if body["kind"] == "Deployment":
            [container] = body["spec"]["template"]["spec"]["containers"]
            container |= {"image": image, "imagePullPolicy": "IfNotPresent"}
            container["resources"] = {"requests": {"cpu": "50m", "memory": "128Mi"}}
        yield body


def _restart_operator(nodes: Nodes) -> None:
    system = nodes.kubectl(SYSTEM)

    def restarted() -> bool:
        try:
            system("rollout", "restart", "deployment/greenroom-operator")
        except KubectlError as error:
            # Kueue has a say in Deployments, and is not heard at once.
            if "webhook" not in str(error):
                raise
            return False
        return True

    wait_until(restarted, 120.0, "Kueue's webhooks answer")
    wait = ("rollout", "status", "deployment/greenroom-operator", "--timeout=180s")
    system(*wait, seconds=200.0)
