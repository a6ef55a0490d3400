"""What the documentation asks a reader to type on a cluster works, in the order of the page."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e import commands
from e2e.cluster import binaries
from e2e.cluster.cluster import Kubectl
from e2e.cluster.processes import wait_until
from e2e.commands import Command, copy_of_checkout, environment
from e2e.kind import cluster
from e2e.kind.images import build_and_push
from e2e.kind.node_image import build_options
from e2e.suite.nodes import Nodes

pytestmark = pytest.mark.timeout(3600)

DOCS = binaries.REPOSITORY / "docs"
UP = 'eval "$(make --silent cluster-up)"'
DOWN = "make cluster-down"
APPLIED = "kubectl apply --server-side -f examples/cartpole-dqn.yaml"
SMALL = (
    "kubectl patch --local -f examples/cartpole-dqn.yaml --type=merge "
    "--patch-file docs/files/small.yaml -o yaml | kubectl apply --server-side -f -"
)
MENDED = (
    """kubectl patch rlx cartpole-dqn --type=merge -p '{"spec":{"actors":{"podTemplate":null}}}'"""
)
SMALL_AGAIN = "kubectl patch rlx cartpole-dqn --type=merge --patch-file docs/files/small.yaml"
READERS_REGISTRY = "registry.example.com/team"
GPU = "nvidia.com/gpu"
GPU_LABEL = "nvidia.com/gpu.present"
SECONDS = 3000.0


def test_the_quickstart_on_kind(kubectl: Kubectl, tmp_path: Path) -> None:
    """All but its end, which the next test has: this cluster is to stand."""
    up, *rest = without(commands.commands(DOCS / "quickstart-kind.md"), DOWN)
    assert up.text == UP
    folder = copy_of_checkout(tmp_path / "greenroom")
    # The cluster's own kubeconfig leads to the namespace `default`, which may be in use.
    elsewhere = Command(0, f"export KUBECONFIG={kubeconfig(kubectl, tmp_path)}")
    printed = commands.run([up, elsewhere, *rest], folder, environment(folder), SECONDS)
    assert "rlexperiment.greenroom.dev/cartpole-dqn condition met" in printed
    assert (folder / "runs" / "cartpole" / "policy").is_dir()


@pytest.mark.full
def test_the_cluster_of_the_quickstart_is_taken_down_and_brought_up(
    release: Nodes, tmp_path: Path
) -> None:
    page = commands.commands(DOCS / "quickstart-kind.md")
    folder = copy_of_checkout(tmp_path / "greenroom")
    try:
        down = [command for command in page if command.text == DOWN]
        commands.run(down, folder, environment(folder), SECONDS)
        assert cluster.NAME not in cluster.nodes_by_cluster(release.engine)
    finally:
        # Others use it, with the images that it had.
        assert cluster.up(release.engine) == release.kubeconfig
        build_and_push(release.engine, cluster.REGISTRY)
        release.install()
    assert release.kubectl()("get", "crd", "rlexperiments.greenroom.dev")


@pytest.mark.full
def test_the_quickstart_on_a_cluster(release: Nodes, kubectl: Kubectl, tmp_path: Path) -> None:
    """Its registry is the nodes', and a node says that it has GPUs."""
    folder = copy_of_checkout(tmp_path / "greenroom")
    write_small_gpu(folder / "docs" / "files")
    page = [
        replace(command, text=command.text.replace(READERS_REGISTRY, cluster.REGISTRY))
        for command in commands.commands(DOCS / "quickstart-cluster.md")
    ]
    try:
        with gpus(release.kubectl(), 4):
            commands.run(page, folder, on_path(release, kubectl, folder), SECONDS)
    finally:
        release.install()
    assert (folder / "runs" / "on-the-cluster" / "policy").is_dir()


@pytest.mark.full
def test_the_walk_through_the_life_of_an_experiment(
    release: Nodes, kubectl: Kubectl, tmp_path: Path
) -> None:
    """A run that is scaled, changed, broken, suspended and ended, on a cluster that is there."""
    refused = ["""kubectl patch rlx cartpole-dqn --type=merge -p '{"spec":{"seed":1}}'"""]
    page = commands.commands(DOCS / "kubernetes.md", refused)
    # The operator on its own, for who has no cluster.
    page = without(page, "kubectl apply --server-side -f crds/rlexperiments.yaml")
    page = without(page, "greenroom-operator --no-leader-elect")
    # Two cores are all that there may be.
    for theirs, ours in ((APPLIED, SMALL), (MENDED, SMALL_AGAIN)):
        (there,) = (command for command in page if command.text.startswith(theirs))
        page[page.index(there)] = replace(there, text=ours)
    folder = copy_of_checkout(tmp_path / "greenroom")
    printed = commands.run(page, folder, on_path(release, kubectl, folder), SECONDS)
    assert "must not change" in printed
    assert (folder / "runs" / "cartpole" / "policy").is_dir()
    assert not kubectl.json("get", "rlx")["items"]


def without(page: list[Command], text: str) -> list[Command]:
    """Return the page's commands but this one, which it must have."""
    left = [command for command in page if command.text != text]
    assert len(left) == len(page) - 1, f"the page must have it once: {text}"
    return left


def kubeconfig(kubectl: Kubectl, folder: Path) -> Path:
    """Return a kubeconfig of the same user, whose commands go to the same namespace."""
    copy = folder / "kubeconfig"
    copy.touch(mode=0o600)
    copy.write_text(kubectl("config", "view", "--raw", "--flatten"))
    Kubectl(copy, kubectl.namespace)(
        "config", "set-context", "--current", f"--namespace={kubectl.namespace}"
    )
    return copy


def on_path(release: Nodes, kubectl: Kubectl, folder: Path) -> dict[str, str]:
    """Return the environment of a session that has kubectl, helm, docker and greenroom."""
    tools = folder.with_name("bin")
    tools.mkdir()
    for name in ("kubectl", "helm"):
        (tools / name).symlink_to(binaries.path(name))
    if release.engine.name != "docker":
        docker = tools / "docker"
        docker.write_text(docker_by_podman(release))
        docker.chmod(0o755)
    variables = environment(folder, **release.engine.environment)
    path = f"{tools}:{folder / '.venv' / 'bin'}:{variables['PATH']}"
    return variables | {"PATH": path, "KUBECONFIG": str(kubeconfig(kubectl, folder.parent))}


def docker_by_podman(release: Nodes) -> str:
    """Return a `docker` that builds and pushes as the suite does where there is podman."""
    options = shlex.join(build_options(release.engine))
    return (
        "#!/bin/sh\nset -e\ncommand=$1\nshift\ncase $command in\n"
        f'build) exec podman build -q {options} "$@" ;;\n'
        'push) exec podman push -q --tls-verify=false "$@" ;;\n'
        '*) echo "docker $command is not expected here" >&2; exit 1 ;;\nesac\n'
    )


def write_small_gpu(folder: Path) -> None:
    """Lay the page's patch over that of small requests: two cores are all that there may be."""
    small = yaml.safe_load((folder / "small.yaml").read_text())
    learner = yaml.safe_load((folder / "gpu.yaml").read_text())["spec"]["learner"]
    (mine,) = learner["podTemplate"]["spec"]["containers"]
    (theirs,) = small["spec"]["learner"]["podTemplate"]["spec"]["containers"]
    mine["resources"]["requests"] = theirs["resources"]["requests"]
    small["spec"]["learner"] = learner
    (folder / "gpu.yaml").write_text(json.dumps(small))


@contextmanager
def gpus(administrator: Kubectl, count: int) -> Iterator[None]:
    """A node says that it has GPUs, and is labelled as such; afterwards not any more."""
    node = administrator.json("get", "nodes")["items"][0]["metadata"]["name"]
    place = "/status/capacity/" + GPU.replace("/", "~1")

    def offered() -> bool:
        status: dict[str, Any] = administrator.json("get", "node", node)["status"]
        return bool(status["allocatable"].get(GPU, "0") != "0")

    def patch(**operation: str) -> None:
        document = json.dumps([{"path": place, **operation}])
        flags = ("--subresource=status", "--type=json", f"--patch={document}")
        administrator("patch", "node", node, *flags)

    administrator("label", "node", node, f"{GPU_LABEL}=true", "--overwrite")
    patch(op="add", value=str(count))
    try:
        # What it has for pods is the kubelet's to say.
        wait_until(offered, 120.0, "the node offers GPUs")
        yield
    finally:
        patch(op="remove")
        administrator("label", "node", node, f"{GPU_LABEL}-")
        wait_until(lambda: not offered(), 120.0, "the node offers no GPU any more")
