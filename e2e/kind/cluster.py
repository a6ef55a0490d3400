"""Clusters of kind's, and the registry that their nodes pull from.

kubeconfig = up(engine)
beside = up(engine, workers=2, name=f"{NAME}-nodes")
images = build_and_push(engine, REGISTRY)
remove(engine, f"{NAME}-nodes")
down(engine)
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path

from e2e.cluster.cluster import Kubectl
from e2e.kind import binaries
from e2e.kind.engine import Engine, EngineError, cache, run, say
from e2e.kind.node_image import node_image

NAME = "greenroom"
REGISTRY = "localhost:5001"
"""As this machine and the nodes name it."""
_REGISTRY_NAME = f"{NAME}-registry"
_REGISTRY_IMAGE = {True: "registry:2", False: f"localhost/{NAME}/registry"}
_NETWORK = "kind"
_HOSTS = f"/etc/containerd/certs.d/{REGISTRY}/hosts.toml"
# Where a node has volumes: of kind's own provisioner, and of ours (`node/storage.yaml`).
_VOLUMES = {True: "/var/local-path-provisioner", False: "/tmp/hostpath_pv"}


def up(engine: Engine, workers: int = 0, name: str = NAME) -> Path:
    """Return the kubeconfig of a cluster of one node and as many more; one that stands is kept.

    Where there are more, they keep volumes in one folder of this machine, as a network's disk
    would: a volume follows a pod to another node.

    Args:
        engine: runs the nodes.
        workers: nodes beside the first, on which then no pods of users run.
        name: of the cluster, which begins with `NAME`.

    Raises:
        BuildError, EngineError: it cannot be had, or stands with another number of nodes; the
            message says why.
    """
    kubeconfig = _kubeconfig(name)
    standing = nodes_by_cluster(engine).get(name, [])
    if standing and kubeconfig.exists():
        if len(standing) != 1 + workers:
            raise EngineError(
                f"The cluster {name} must have {1 + workers} node(s): remove it first "
                f"(`make cluster-down`), or ask for another name. Got: {len(standing)} node(s)"
            )
        say(f"the cluster {name} stands already")
    else:
        _create(engine, workers, name)
    _registry(engine)
    for node in nodes_by_cluster(engine).get(name, ()):
        server = f'[host."http://{_REGISTRY_NAME}:5000"]'
        engine(
            "exec",
            node,
            "sh",
            "-c",
            f"mkdir -p {Path(_HOSTS).parent} && echo '{server}' > {_HOSTS}",
        )
    return kubeconfig


def remove(engine: Engine, name: str) -> None:
    """Remove a cluster, also what is left of it after a crash; the registry stays."""
    for node in nodes_by_cluster(engine).get(name, ()) if _volumes(name).exists() else ():
        # As root, whoever this is; a node that has ended cannot.
        engine.succeeds("exec", node, "find", _VOLUMES[engine.pulls], "-mindepth", "1", "-delete")
    _kind(engine, "delete", "cluster", f"--name={name}", f"--kubeconfig={_kubeconfig(name)}")
    shutil.rmtree(_volumes(name), ignore_errors=True)
    _kubeconfig(name).unlink(missing_ok=True)


def down(engine: Engine) -> None:
    """Remove all clusters and the registry, also what is left of them after a crash.

    What was pushed, and built images, are kept for the next time.
    """
    for name in {NAME, *nodes_by_cluster(engine)}:
        if name == NAME or name.startswith(f"{NAME}-"):
            remove(engine, name)
    engine("rm", "--force", "--volumes", _REGISTRY_NAME)


def nodes_by_cluster(engine: Engine) -> dict[str, list[str]]:
    """Return the containers that are nodes of kind's clusters, those of others too."""
    label = "io.x-k8s.kind.cluster"
    told = engine(
        "ps",
        "--all",
        f"--filter=label={label}",
        f'--format={{{{.Names}}}} {{{{index .Labels "{label}"}}}}'
        if engine.name == "podman"
        else f'--format={{{{.Names}}}} {{{{.Label "{label}"}}}}',
    )
    found: dict[str, list[str]] = {}
    for line in told.splitlines():
        name, _, cluster = line.strip().partition(" ")
        found.setdefault(cluster, []).append(name)
    return found


def _create(engine: Engine, workers: int, name: str) -> None:
    image = node_image(engine)
    began = time.monotonic()
    settings = cache() / f"{name}.yaml"
    settings.write_text(json.dumps(_settings(engine, workers, name, image)))
    flags = (f"--name={name}", f"--config={settings}", f"--kubeconfig={_kubeconfig(name)}")
    _kind(engine, "create", "cluster", *flags, "--wait=180s")
    if workers and engine.pulls:
        _share_volumes(Kubectl(_kubeconfig(name), "local-path-storage"))
    say(f"{1 + workers} node(s) Ready in {time.monotonic() - began:.0f} s")


def _kind(engine: Engine, *arguments: str) -> None:
    run([binaries.kind(), *arguments], engine.environment)


def _kubeconfig(name: str) -> Path:
    return cache() / ("kubeconfig" if name == NAME else f"{name}.kubeconfig")


def _volumes(name: str) -> Path:
    """Return the folder of this machine that nodes of a larger cluster keep volumes in."""
    return cache() / f"{name}.volumes"


def _settings(engine: Engine, workers: int, name: str, image: str | None) -> dict[str, object]:
    """Return kind's configuration: nodes look our registry up in a file of their own."""
    node: dict[str, object] = {} if image is None else {"image": image}
    if workers:
        _volumes(name).mkdir(exist_ok=True)
        place = {"hostPath": str(_volumes(name)), "containerPath": _VOLUMES[engine.pulls]}
        node["extraMounts"] = [place]
    registries = (
        '[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"'
    )
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "containerdConfigPatches": [registries],
        "networking": {"podSubnet": "10.246.0.0/16", "serviceSubnet": "10.97.0.0/16"},
        "nodes": [{"role": "control-plane", **node}]
        + [{"role": "worker", **node} for _ in range(workers)],
    }


def _share_volumes(kubectl: Kubectl) -> None:
    """Have kind's own provisioner bind no volume to a node."""
    settings = json.dumps({"sharedFileSystemPath": _VOLUMES[True]})
    patch = json.dumps({"data": {"config.json": settings}})
    kubectl("patch", "configmap", "local-path-config", "--type=merge", f"--patch={patch}")
    kubectl("rollout", "restart", "deployment", "local-path-provisioner")


def _registry(engine: Engine) -> None:
    """Start the registry in the nodes' network, if it does not run; its store is a volume."""
    running = engine("ps", "--format={{.Names}}").split()
    if _REGISTRY_NAME in running:
        return
    image = _REGISTRY_IMAGE[engine.pulls]
    if not engine.pulls and not engine.succeeds("image", "exists", image):
        with tempfile.TemporaryDirectory(dir=cache()) as folder:
            context = Path(folder)
            shutil.copy(binaries.registry(), context / "registry")
            (context / "config.yml").write_text(
                "version: 0.1\nstorage: {filesystem: {rootdirectory: /var/lib/registry}}\n"
                "http: {addr: 0.0.0.0:5000}\n"
            )
            (context / "Dockerfile").write_text(
                "FROM scratch\nCOPY registry /registry\nCOPY config.yml /config.yml\n"
                'ENTRYPOINT ["/registry", "serve", "/config.yml"]\n'
            )
            engine("build", "-q", "--isolation=chroot", "-t", image, context)
    engine("rm", "--force", _REGISTRY_NAME)
    host, port = REGISTRY.replace("localhost", "127.0.0.1").split(":")
    engine(
        "run",
        "--detach",
        f"--name={_REGISTRY_NAME}",
        f"--network={_NETWORK}",
        f"--publish={host}:{port}:5000",
        f"--volume={_REGISTRY_NAME}:/var/lib/registry",
        image,
    )


__all__ = ["NAME", "REGISTRY", "EngineError", "down", "nodes_by_cluster", "remove", "up"]
