"""The cluster that the suite runs on, and the real commands on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import binaries
from e2e.cluster.cluster import Kubectl
from e2e.kind.engine import Engine, run
from e2e.kind.images import Image

SYSTEM = "greenroom-system"
RELEASE = ("greenroom", f"--namespace={SYSTEM}")
_CHART = binaries.REPOSITORY / "charts" / "greenroom"


@dataclass(frozen=True)
class Nodes:
    """The cluster: its engine, its kubeconfig, our images in its registry by target."""

    engine: Engine
    kubeconfig: Path
    images: dict[str, Image]

    def helm(self, *arguments: str) -> str:
        """Run the real helm on it; return what it printed."""
        return run([binaries.path("helm"), *arguments, f"--kubeconfig={self.kubeconfig}"], {})

    def install(self) -> None:
        """Install the chart with images of this checkout, or upgrade to it; wait until it runs."""
        values = {"image": "operator", "worker.image": "worker", "replay.image": "replay"}
        flags = []
        for value, target in values.items():
            image = self.images[target]
            flags.append(f"--set={value}.repository={image.repository}")
            flags.append(f"--set={value}.tag={image.tag}")
        self.helm(
            *("upgrade", "--install", *RELEASE, str(_CHART), "--create-namespace"),
            *("--wait", "--timeout=180s", *flags),
        )

    def kubectl(self, namespace: str = "default") -> Kubectl:
        """The real kubectl as an administrator."""
        return Kubectl(self.kubeconfig, namespace)
