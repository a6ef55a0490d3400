"""The real operator on a real API server: fixtures for the tests of this folder and below.

def test_children_are_made(operator, kubectl):           # it looks after kubectl's namespace
    kubectl("apply", "--server-side", "-f", "examples/cartpole-dqn.yaml")

def test_no_budgets(make_operator, kubectl):             # with flags; stopped afterwards
    make_operator("--no-pod-disruption-budgets").wait_ready()
"""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from definition import install_crd
from operator_process import OperatorProcess


@pytest.fixture(scope="session")
def crd(cluster):
    """The API of experiments is installed."""
    install_crd(cluster.kubectl())


@pytest.fixture
def make_operator(crd, cluster, namespace, tmp_path):
    """Start operators for the test's namespace; each is stopped, its log must have no error.

    Flags go to the command; `namespace`, `kubeconfig` and `log` may be others than the test's.
    """
    made = []

    def make(*flags, namespace=namespace, kubeconfig=cluster.kubeconfig, log=None):
        path = tmp_path / (log or f"operator-{len(made)}.log")
        made.append(OperatorProcess(kubeconfig, namespace, path, flags).start())
        return made[-1]

    yield make
    for operator in made:
        operator.stop()
        # Shown if the test fails.
        print(f"--- {operator.path.name}\n{operator.log}")
    for operator in made:
        operator.check()


@pytest.fixture
def operator(make_operator):
    """An operator for the test's namespace that leads, its caches synced."""
    return make_operator().wait_leading()
