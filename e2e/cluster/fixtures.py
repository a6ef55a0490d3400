"""pytest's fixtures; load them with `pytest_plugins = ["e2e.cluster.fixtures"]`.

    def test_a_deployment_gets_ready(kubectl):
        kubectl("create", "deployment", "web", "--image=any")
        kubectl("rollout", "status", "deployment/web", "--timeout=30s")

All tests of a run share one control plane, so a test keeps to its namespace. A test that stops
components, or counts requests, starts a `ControlPlane` of its own.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster.cluster import EXISTING, Cluster, Kubectl
from e2e.cluster.node import NodeAgent
from e2e.cluster.shared import shared_cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with nodes on which pods get ready; `GREENROOM_E2E_KUBECONFIG` may name it."""
    own = tmp_path_factory.mktemp("cluster")
    existing = Cluster.existing(own)
    if existing:
        yield existing
        return
    with shared_cluster(_folder_of_the_run(tmp_path_factory) / "e2e-cluster", own) as shared:
        yield shared


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A new namespace; deleted afterwards, without waiting."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    kubectl = cluster.kubectl()
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Kubectl:
    """The real kubectl as an administrator, in the test's namespace."""
    return cluster.kubectl(namespace)


@pytest.fixture
def agent(cluster: Cluster, namespace: str) -> Iterator[NodeAgent]:
    """A node that runs the pods of the test's namespace as real processes; needs root."""
    if EXISTING in os.environ:
        pytest.fail(f"Pods as processes need a control plane of ours: unset {EXISTING}.")
    with NodeAgent(cluster) as node:
        node.take(namespace)
        yield node
        # Shown if the test fails.
        print(node.logs())


def _folder_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for all workers of pytest-xdist, whose own base folders lie in it."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if base.name.startswith("popen-gw") else base
