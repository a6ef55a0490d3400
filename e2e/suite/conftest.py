"""The suite's cluster: kind with Greenroom's images, and the chart installed by Helm.

It stands afterwards, so that the next run begins at once; `make cluster-down` removes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

from e2e.cluster.cluster import Kubectl
from e2e.kind import cluster
from e2e.kind.engine import choose
from e2e.kind.images import build_and_push
from e2e.suite.nodes import Nodes

RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


@pytest.fixture(scope="session")
def nodes() -> Nodes:
    """A cluster of kind's that stands, with images of this checkout."""
    engine = choose()
    kubeconfig = cluster.up(engine)
    return Nodes(engine, kubeconfig, build_and_push(engine, cluster.REGISTRY))


@pytest.fixture(scope="session")
def release(nodes: Nodes) -> Nodes:
    """The chart is installed, or upgraded to this checkout's."""
    nodes.install()
    return nodes


@pytest.fixture
def kubectl(release: Nodes) -> Iterator[Kubectl]:
    """The real kubectl, in a new namespace that admits restricted pods only; deleted afterwards."""
    with namespace(release) as made:
        yield made


@pytest.fixture
def another(release: Nodes) -> Iterator[Kubectl]:
    """The same, in another namespace."""
    with namespace(release) as made:
        yield made


@contextmanager
def namespace(release: Nodes) -> Iterator[Kubectl]:
    name = f"e2e-{uuid4().hex[:8]}"
    administrator = release.kubectl()
    administrator("create", "namespace", name)
    administrator("label", "namespace", name, RESTRICTED)
    yield release.kubectl(name)
    administrator("delete", "namespace", name, "--timeout=180s", seconds=200.0)
