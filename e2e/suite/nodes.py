"""The cluster that the suite runs on, and the real commands on it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.cluster import binaries
from e2e.cluster.cluster import Kubectl
from e2e.kind.engine import Engine, run
from e2e.kind.images import Image, chart_values

SYSTEM = "greenroom-system"
RELEASE = ("greenroom", f"--namespace={SYSTEM}")


@dataclass(frozen=True)
class Nodes:
    """The cluster, and what is installed there.

    Attributes:
        engine: runs the nodes.
        kubeconfig: of an administrator.
        images: ours in the cluster's registry, by target.
        source: the clone that they were built from, and that has the chart.
    """

    engine: Engine
    kubeconfig: Path
    images: dict[str, Image]
    source: Path = binaries.REPOSITORY

    def helm(self, *arguments: str) -> str:
        """Run the real helm on it; return what it printed."""
        return run([binaries.path("helm"), *arguments, f"--kubeconfig={self.kubeconfig}"], {})

    def install(self) -> None:
        """Install the chart with these images, or upgrade to it; wait until it runs."""
        values = self.kubeconfig.with_name("suite-values.json")
        values.write_text(json.dumps(chart_values(self.images)))
        self.helm(
            *(
                "upgrade",
                "--install",
                *RELEASE,
                str(self.source / "charts" / "greenroom"),
                "--create-namespace",
            ),
            *("--wait", "--timeout=180s", f"--values={values}"),
        )

    def kubectl(self, namespace: str = "default") -> Kubectl:
        """The real kubectl as an administrator."""
        return Kubectl(self.kubeconfig, namespace)

    def kill(self, pod: dict[str, Any]) -> None:
        """Send SIGKILL to the first process of a pod's only container, on its node."""
        node = pod["spec"]["nodeName"]
        (status,) = pod["status"]["containerStatuses"]
        container = status["containerID"].rpartition("/")[2]
        tasks = self.engine("exec", node, "ctr", "--namespace=k8s.io", "tasks", "list")
        (process,) = (line.split()[1] for line in tasks.splitlines() if line.startswith(container))
        self.engine("exec", node, "kill", "-9", process)

    def workers(self) -> tuple[str, ...]:
        """The nodes beside the first."""
        first = "!node-role.kubernetes.io/control-plane"
        found = self.kubectl().json("get", "nodes", f"--selector={first}")["items"]
        return tuple(node["metadata"]["name"] for node in found)

    def is_ready(self, node: str) -> bool:
        """Whether the API server thinks that a node is well."""
        conditions = self.kubectl().json("get", "node", node)["status"]["conditions"]
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def drain(self, node: str, meanwhile: Callable[[], None]) -> str:
        """Cordon a node and evict its pods, as PodDisruptionBudgets let; return what was said.

        Args:
            node: is empty afterwards, apart from pods of DaemonSets.
            meanwhile: is called again and again until it is.
        """
        flags = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=600s")
        with ThreadPoolExecutor(1) as beside:
            drained = beside.submit(self.kubectl(), "drain", node, *flags, seconds=610.0)
            while not drained.done():
                meanwhile()
                time.sleep(0.5)
            return drained.result()
