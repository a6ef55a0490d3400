"""A port of the cluster, on this machine."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from e2e.cluster import binaries
from e2e.cluster.cluster import Kubectl


@contextmanager
def forwarded(kubectl: Kubectl, what: str, port: int) -> Iterator[str]:
    """The address on this machine that leads to a port of a pod or a service."""
    process = subprocess.Popen(
        [
            *(binaries.path("kubectl"), f"--kubeconfig={kubectl.kubeconfig}"),
            *("port-forward", f"--namespace={kubectl.namespace}", what, f":{port}"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"127\.0\.0\.1:\d+", line)
        assert found, f"kubectl port-forward said: {line!r}"
        yield found[0]
    finally:
        process.terminate()
        process.communicate(timeout=10.0)
