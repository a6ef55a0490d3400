"""The suite's cluster: kind with Greenroom's images, and the chart installed by Helm.

It stands afterwards, so that the next run begins at once; `make cluster-down` removes it. A
cluster that is there already is used instead where the environment names its kubeconfig.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from e2e.cluster import binaries
from e2e.cluster.cluster import EXISTING, Kubectl
from e2e.kind import cluster
from e2e.kind.engine import cache, choose, run, say
from e2e.kind.images import build_and_push
from e2e.suite.nodes import Nodes

RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


REGISTRY = "GREENROOM_E2E_REGISTRY"
"""The environment variable that names the registry of a cluster which is there already."""


@pytest.fixture(scope="session")
def nodes() -> Nodes:
    """A cluster of kind's that stands, or one that is there, with images of this checkout."""
    engine = choose()
    if os.environ.get(EXISTING):
        kubeconfig, registry = existing()
    else:
        kubeconfig, registry = cluster.up(engine), cluster.REGISTRY
    return Nodes(engine, kubeconfig, build_and_push(engine, registry))


def existing() -> tuple[Path, str]:
    """Return a copy of the kubeconfig that the environment names, and the registry beside it."""
    if not (registry := os.environ.get(REGISTRY)):
        pytest.fail(f"{EXISTING} needs {REGISTRY}: where images are pushed to, and nodes pull from")
    copy = cache() / "existing.kubeconfig"
    view = ("config", "view", "--raw", "--flatten", f"--kubeconfig={os.environ[EXISTING]}")
    copy.touch(mode=0o600)
    copy.write_text(run([binaries.path("kubectl"), *view], {}))
    say(f"{os.environ[EXISTING]} is used, as it is; images go to {registry}")
    return copy, registry


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
