"""kwok: simulated nodes, and pods on them that get ready at once, or fail as told.

`kwok.yaml` says what it does, and which annotations of a pod make it fail.
"""

from __future__ import annotations

from pathlib import Path

from e2e.cluster import binaries
from e2e.cluster.client import Api, Object

CONFIGURATION = Path(__file__).with_name("kwok.yaml")
# Plenty of everything: what does not fit is meant not to.
RESOURCES = {"cpu": "1000", "memory": "4Ti", "pods": "10000", "nvidia.com/gpu": "1000"}


def kwok_command(kubeconfig: Path, address: str) -> list[str | Path]:
    """The command of kwok, with its health and metrics at `address` (host:port)."""
    return [
        binaries.path("kwok"),
        f"--kubeconfig={kubeconfig}",
        f"--config={CONFIGURATION}",
        f"--server-address={address}",
    ]


def make_nodes(api: Api, count: int) -> None:
    """Register nodes kwok-0, kwok-1, ... for kwok to keep alive."""
    for number in range(count):
        api.create("/api/v1/nodes", node(f"kwok-{number}"))


def node(name: str) -> Object:
    """A node that kwok manages."""
    return {
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "topology.kubernetes.io/zone": "zone-a",
                "type": "kwok",
            },
        },
        "status": {"capacity": RESOURCES, "allocatable": RESOURCES},
    }
