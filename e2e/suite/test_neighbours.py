"""Experiments beside each other: each has its own replay, learner and token."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml

from e2e.cluster.cluster import Kubectl
from e2e.suite.experiments import Experiment, Pod, example, is_true, steps
from e2e.suite.forwarding import forwarded
from e2e.suite.nodes import Nodes
from e2e.suite.policies import Peer, may_connect, of_pod
from greenroom.errors import AccessDenied
from greenroom.variables.remote import LearnerClient

pytestmark = [pytest.mark.timeout(1800), pytest.mark.full]

WANTED = {"first": 4_000, "second": 7_000}
ENDLESS = {"environmentSteps": 5_000_000}

# Run in a pod's container: whether it reaches an address.
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 5.0).close()
except OSError as error:
    print("closed:", error)
else:
    print("open")
"""


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
    first, second = (Experiment(kubectl, example(name, stop=ENDLESS)) for name in WANTED)
    tokens = [token(kubectl, run) for run in (first, second)]
    assert tokens[0] != tokens[1]
    first.until(is_true("Ready"), 900.0, "all roles are ready")
    with forwarded(kubectl, f"service/{first.name}-learner", 7001) as address:
        with LearnerClient(address, tokens[0]) as client:
            assert client.get_variables(newer_than=-1) is not None
        for wrong in (tokens[1], "guessed"):
            with LearnerClient(address, wrong) as client, pytest.raises(AccessDenied):
                client.get_variables(newer_than=-1)


def test_only_a_runs_own_pods_reach_replay_and_parameters(
    release: Nodes, kubectl: Kubectl, another: Kubectl
) -> None:
    run = Experiment(kubectl, example("first", stop=ENDLESS))
    run.until(is_true("Ready"), 600.0, "all roles are ready")
    run.goes_on(0, "it acts: its own pods reach replay and learner")
    own = run.pods()
    labels = own[0]["metadata"]["labels"]
    strangers = [
        stranger(release, kubectl, "without-labels", {}),
        # A policy that named labels alone, and no namespace, would let this one in.
        stranger(release, another, "of-the-same-labels", labels),
    ]
    second = Experiment(kubectl, example("second", stop=ENDLESS))
    second.until(lambda _: len(second.pods()) == len(own), 60.0, "another experiment has pods")

    peers = [peer(release, pod) for pod in [*own, *strangers, *second.pods()]]
    policies = release.kubectl().json("get", "networkpolicies", "--all-namespaces")["items"]
    ours = {peer.name for peer in peers[: len(own)]}
    for pod in own:
        assert len(of_pod(policies, pod)) == 1, "each of its pods has its policy"
        for port in pod["spec"]["containers"][0]["ports"]:
            reach = {peer.name for peer in peers if may_connect(policies, peer, pod, port)}
            where = f"{pod['metadata']['labels']['greenroom.dev/role']}, {port['name']}"
            print(f"\n  {where}: {len(reach)} of {len(peers)} pods may connect", end="")
            everyone = {peer.name for peer in peers}
            assert reach == (everyone if port["name"] == "http" else ours), where
    connections(release, run, strangers)


def connections(release: Nodes, run: Experiment, strangers: list[Pod]) -> None:
    """What the policies say is so, where the network plugin enforces them."""
    (actor,), (replay,), (learner,) = (run.pods(role) for role in ("actor", "replay", "learner"))
    for pod, port, private in ((replay, 7000, True), (learner, 7001, True), (replay, 8080, False)):
        assert connection(release, actor, pod, port) == "open"
        for one in strangers:
            said = connection(release, one, pod, port)
            print(f"\n  {one['metadata']['name']} to port {port}: {said}", end="", flush=True)
            # kind's own network plugin enforces policies; the one of our node image does not.
            if private and release.engine.name == "docker":
                assert said.startswith("closed"), "policies are enforced"
            else:
                assert said == "open"
    enforced = "enforced" if release.engine.name == "docker" else "not enforced: checked as objects"
    print(f"\n* NetworkPolicies are {enforced}", end="", flush=True)


def connection(release: Nodes, pod: Pod, to: Pod, port: int) -> str:
    """What became of a connection from a pod: `open`, or `closed: ` and why."""
    about = pod["metadata"]
    command = ("python", "-c", CONNECT, to["status"]["podIP"], str(port))
    return release.kubectl(about["namespace"])("exec", about["name"], "--", *command).strip()


def peer(release: Nodes, pod: Pod) -> Peer:
    return Peer.of(pod, release.kubectl().json("get", "namespace", pod["metadata"]["namespace"]))


def stranger(release: Nodes, kubectl: Kubectl, name: str, labels: dict[str, str]) -> Pod:
    """A running pod that is no part of any run."""
    container = {
        "name": "worker",
        "image": str(release.images["worker"]),
        "command": ["python", "-c", "import time; time.sleep(3600)"],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "containers": [container],
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        },
    }
    kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(manifest))
    kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=50s")
    pod: dict[str, Any] = kubectl.json("get", "pod", name)
    return pod


def token(kubectl: Kubectl, run: Experiment) -> str:
    """The run's token, which an administrator may read."""
    status = run.until(lambda status: "tokenSecret" in status, 60.0, "it has a token")
    secret: dict[str, str] = kubectl.json("get", "secret", status["tokenSecret"])["data"]
    (value,) = secret.values()
    return base64.b64decode(value).decode()
