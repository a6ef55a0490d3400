"""Experiments beside each other: each has its own replay, learner and token."""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from e2e.cluster import binaries
from e2e.cluster.cluster import Kubectl
from e2e.suite.experiments import Experiment, example, is_true, steps
from greenroom.errors import AccessDenied
from greenroom.variables.remote import LearnerClient

pytestmark = [pytest.mark.timeout(1800), pytest.mark.full]

WANTED = {"first": 4_000, "second": 7_000}


def test_two_in_one_namespace_and_one_of_the_same_name_in_another(
    kubectl: Kubectl, another: Kubectl
) -> None:
    runs = [
        Experiment(where, example(name, stop={"environmentSteps": WANTED[name]}))
        for where, name in ((kubectl, "first"), (kubectl, "second"), (another, "first"))
    ]
    for run in runs:
        status = run.until(is_true("Succeeded"), 900.0, f"{run.name} succeeds")
        # An actor is granted some steps more before it is told to stop; what it counts is its own.
        assert WANTED[run.name] <= steps(status) < WANTED[run.name] + 2_000


def test_a_learner_refuses_the_token_of_another_run(kubectl: Kubectl) -> None:
    first, second = (
        Experiment(kubectl, example(name, stop={"environmentSteps": 5_000_000})) for name in WANTED
    )
    tokens = [token(kubectl, run) for run in (first, second)]
    assert tokens[0] != tokens[1]
    first.until(is_true("Ready"), 900.0, "all roles are ready")
    with forwarded(kubectl, f"service/{first.name}-learner", 7001) as address:
        with LearnerClient(address, tokens[0]) as client:
            assert client.get_variables(newer_than=-1) is not None
        for wrong in (tokens[1], "guessed"):
            with LearnerClient(address, wrong) as client, pytest.raises(AccessDenied):
                client.get_variables(newer_than=-1)


def token(kubectl: Kubectl, run: Experiment) -> str:
    """The run's token, which an administrator may read."""
    status = run.until(lambda status: "tokenSecret" in status, 60.0, "it has a token")
    secret: dict[str, str] = kubectl.json("get", "secret", status["tokenSecret"])["data"]
    (value,) = secret.values()
    return base64.b64decode(value).decode()


@contextmanager
def forwarded(kubectl: Kubectl, what: str, port: int) -> Iterator[str]:
    """The address on this machine that leads to a port in the cluster."""
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
