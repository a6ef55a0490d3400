"""The definition of RLExperiment, on the API server of a test."""

from contextlib import contextmanager
from pathlib import Path

from e2e.cluster.cluster import KubectlError
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.processes import wait_until

CRD = Path(__file__).parents[2] / "crds" / "rlexperiments.yaml"


def install_crd(kubectl):
    """Install the API of experiments and wait until it is served."""
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))

    def served():
        try:
            kubectl("get", "rlexperiments", "--all-namespaces", "--output=name")
        except KubectlError:
            return False
        return True

    wait_until(served, 60.0, "rlexperiments are served")


@contextmanager
def control_plane(nodes):
    """A control plane of the test's own that serves experiments."""
    with ControlPlane(nodes=nodes) as made:
        install_crd(made.cluster.kubectl())
        yield made
