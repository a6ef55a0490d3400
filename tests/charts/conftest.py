"""A control plane of this folder's own: the chart owns objects that all tests would share."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "operator"))
sys.path.append(str(Path(__file__).parents[1] / "operator" / "plan"))

from monitoring_crds import monitoring_crds

from e2e.cluster.control_plane import ControlPlane


@pytest.fixture
def plane(tmp_path):
    """A control plane with nodes, an audit log, the monitoring resources and no Greenroom."""
    with ControlPlane(nodes=2, audit=True) as plane:
        kubectl = plane.cluster.kubectl()
        for crd in monitoring_crds():
            kubectl("apply", "--server-side", "-f", str(crd))
        kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        kubectl("create", "namespace", "system")
        kubectl("label", "namespace", "system", "pod-security.kubernetes.io/enforce=restricted")
        yield plane
