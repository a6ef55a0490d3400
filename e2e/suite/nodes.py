"""The cluster that the suite runs on, and the real commands on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import binaries
from e2e.cluster.cluster import Kubectl
from e2e.kind.engine import Engine, run
from e2e.kind.images import Image

RELEASE = ("greenroom", "--namespace=greenroom-system")


@dataclass(frozen=True)
class Nodes:
    """The cluster: its engine, its kubeconfig, our images in its registry by target."""

    engine: Engine
    kubeconfig: Path
    images: dict[str, Image]

    def helm(self, *arguments: str) -> str:
        """Run the real helm on it; return what it printed."""
        return run([binaries.path("helm"), *arguments, f"--kubeconfig={self.kubeconfig}"], {})

    def kubectl(self, namespace: str = "default") -> Kubectl:
        """The real kubectl as an administrator."""
        return Kubectl(self.kubeconfig, namespace)
