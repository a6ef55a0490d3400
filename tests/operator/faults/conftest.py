"""An operator that reaches the API server through a proxy."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from operator_process import OperatorProcess
from proxy import Proxy

# kopf tells of a request that it tries again as of an error; a traceback nobody logs.
WRONG = ("Traceback", "was never retrieved", "was never awaited")


@pytest.fixture
def proxy(cluster, tmp_path):
    """A proxy before the API server, without a fault."""
    with Proxy(cluster.kubeconfig, tmp_path) as proxy:
        yield proxy


@pytest.fixture
def cut_off(crd, proxy, namespace, tmp_path):
    """An operator behind the proxy that leads; at the end it lives, and logged no traceback."""
    flags = ("--no-leader-elect", "--progress-interval=3600")
    operator = OperatorProcess(proxy.kubeconfig, namespace, tmp_path / "operator.log", flags)
    operator.start().wait_leading()
    yield operator
    status = operator.status
    operator.kill()
    # Shown if the test fails.
    print(operator.log)
    assert status is None, "the operator ended"
    assert not [words for words in WRONG if words in operator.log]
