"""A cluster of kind's, and the registry that its nodes pull from.

kubeconfig = up(engine, workers=1)
images = build_and_push(engine, REGISTRY)
down(engine)
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path

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


def up(engine: Engine, workers: int = 0) -> Path:
    """Return the kubeconfig of a cluster of one node and as many more; one that stands is kept.

    Raises:
        BuildError, EngineError: it cannot be had; the message says why.
    """
    kubeconfig = cache() / "kubeconfig"
    if NAME in nodes_by_cluster(engine) and kubeconfig.exists():
        say(f"the cluster {NAME} stands already")
    else:
        image = node_image(engine)
        began = time.monotonic()
        settings = cache() / "kind.yaml"
        settings.write_text(json.dumps(_settings(workers, image)))
        _kind(
            engine,
            "create",
            "cluster",
            f"--config={settings}",
            f"--kubeconfig={kubeconfig}",
            "--wait=180s",
        )
        say(f"{1 + workers} node(s) Ready in {time.monotonic() - began:.0f} s")
    _registry(engine)
    for node in nodes_by_cluster(engine).get(NAME, ()):
        server = f'[host."http://{_REGISTRY_NAME}:5000"]'
        engine(
            "exec",
            node,
            "sh",
            "-c",
            f"mkdir -p {Path(_HOSTS).parent} && echo '{server}' > {_HOSTS}",
        )
    return kubeconfig


def down(engine: Engine) -> None:
    """Remove the cluster and the registry, also what is left of them after a crash.

    What was pushed, and built images, are kept for the next time.
    """
    _kind(engine, "delete", "cluster", f"--kubeconfig={cache() / 'kubeconfig'}")
    engine("rm", "--force", "--volumes", _REGISTRY_NAME)
    (cache() / "kubeconfig").unlink(missing_ok=True)


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


def _kind(engine: Engine, *arguments: str) -> None:
    run([binaries.kind(), *arguments, f"--name={NAME}"], engine.environment)


def _settings(workers: int, image: str | None) -> dict[str, object]:
    """Return kind's configuration: nodes look our registry up in a file of their own."""
    with_image = {} if image is None else {"image": image}
    registries = (
        '[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"'
    )
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "containerdConfigPatches": [registries],
        "networking": {"podSubnet": "10.246.0.0/16", "serviceSubnet": "10.97.0.0/16"},
        "nodes": [{"role": "control-plane", **with_image}]
        + [{"role": "worker", **with_image} for _ in range(workers)],
    }


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


__all__ = ["NAME", "REGISTRY", "EngineError", "down", "nodes_by_cluster", "up"]
