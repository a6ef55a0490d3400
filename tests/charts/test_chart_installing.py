"""The chart and the manifest on a real API server: installed, upgraded, uninstalled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import yaml
from chart_tools import HelmError, helm, of_kind, only, render
from operator_process import OperatorProcess

from charts.generate import CHART, MANIFEST
from e2e.cluster.cluster import Cluster, Kubectl, KubectlError
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.processes import wait_until
from greenroom_operator.kinds import CHILDREN, POD, WORKLOAD

EXAMPLE = Path(__file__).parents[2] / "examples" / "cartpole-dqn.yaml"
OF_THE_EXPERIMENT = "--selector=greenroom.dev/experiment=cartpole-dqn"
CRD = "rlexperiments.greenroom.dev"
# On a busy machine real roles and control planes take their time to start.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SECONDS = 90
# Of an experiment that names no queue.
KINDS = (*(kind for kind in CHILDREN if kind is not WORKLOAD), POD)
KEPT = {"greenroom-rlexperiments-edit", "greenroom-rlexperiments-view", CRD}
WATCHED = (
    "metrics.monitor.enabled=true", "metrics.rules.enabled=true", "dashboards.enabled=true",
)  # fmt: skip


def install(
    cluster: Cluster, *settings: str, command: str = "install", namespace: str = "system"
) -> str:
    values = [argument for setting in settings for argument in ("--set", setting)]
    return helm(
        command, "greenroom", CHART, f"--namespace={namespace}", "--wait", "--timeout=120s",
        *values, kubeconfig=cluster.kubeconfig, seconds=240.0,
    )  # fmt: skip


def of_the_release(kubectl: Kubectl) -> set[str]:
    """Names of all that the chart made, whatever the kind."""
    kinds = (
        "crd,clusterroles,clusterrolebindings,roles,rolebindings,serviceaccounts,services,"
        "deployments,pods,poddisruptionbudgets,configmaps,servicemonitors,podmonitors,"
        "prometheusrules"
    )
    found = kubectl.json(
        "get", kinds, "--all-namespaces", "--selector=app.kubernetes.io/name=greenroom"
    )
    return {item["metadata"]["name"] for item in found["items"]}


def test_install_upgrade_and_uninstall_leave_experiments_alone(plane: ControlPlane) -> None:
    kubectl = plane.cluster.kubectl("system")
    said = install(plane.cluster, *WATCHED)
    assert said.rstrip().endswith("kubectl get rlexperiments --watch")
    [pod] = kubectl.json("get", "pods")["items"]
    assert pod["status"]["phase"] == "Running"

    plane.cluster.kubectl()("apply", "--server-side", "-f", str(EXAMPLE))
    uid = experiment_uid(plane.cluster)

    install(plane.cluster, *WATCHED, "replicas=2", command="upgrade")

    def ready() -> int:
        # Helm looks at the ReplicaSet; its Deployment counts a moment later.
        found = kubectl.json("get", "deployment", "greenroom-operator")
        return int(found["status"].get("readyReplicas", 0))

    wait_until(lambda: ready() == 2, SECONDS, "both replicas are ready")
    assert kubectl.json("get", "pdb", "greenroom-operator")["spec"]["maxUnavailable"] == 1
    assert experiment_uid(plane.cluster) == uid

    # A release that no longer brings the resource leaves it as well.
    install(plane.cluster, "crds.enabled=false", command="upgrade")
    assert experiment_uid(plane.cluster) == uid

    helm("uninstall", "greenroom", "--namespace=system", "--wait",
         kubeconfig=plane.cluster.kubeconfig)  # fmt: skip
    wait_until(lambda: of_the_release(kubectl) == KEPT, SECONDS, "all else is gone")
    assert experiment_uid(plane.cluster) == uid

    # The same release takes what was left over; another one says whose it is.
    install(plane.cluster)
    helm("uninstall", "greenroom", "--namespace=system", kubeconfig=plane.cluster.kubeconfig)
    with pytest.raises(HelmError, match=r"meta\.helm\.sh/release-namespace"):
        install(plane.cluster, namespace="default")
    install(plane.cluster, "crds.enabled=false", "singleNamespace=true", namespace="default")

    # No finalizer: with no operator at work a deletion ends.
    plane.cluster.kubectl()("delete", "rlx", "cartpole-dqn", "--timeout=30s")


def test_uninstalling_leaves_what_runs_alone(plane: ControlPlane, tmp_path: Path) -> None:
    install(plane.cluster, "replicas=0")
    kubectl = plane.cluster.kubectl()
    account = plane.cluster.kubeconfig_for("system", "greenroom-operator")
    operator = OperatorProcess(account, None, tmp_path / "log", chart_flags()).start()
    try:
        operator.wait_leading()
        kubectl("apply", "--server-side", "-f", str(EXAMPLE))
        kubectl(
            "wait", "--for=condition=Ready", "rlx/cartpole-dqn", f"--timeout={SECONDS}s",
            seconds=2 * SECONDS,
        )  # fmt: skip
        # Ready it is without its evaluator.
        roles = ("replay", "learner", "actor", "evaluator")
        wait_until(lambda: pods_of(kubectl) == sorted(roles), SECONDS, "each role has its pod")
        before = of_the_experiment(kubectl)
    finally:
        operator.stop()
    operator.check()
    assert {kind.kind for kind in KINDS} <= {kind for kind, _ in before}

    helm("uninstall", "greenroom", "--namespace=system", "--wait",
         kubeconfig=plane.cluster.kubeconfig)  # fmt: skip
    wait_until(lambda: of_the_release(kubectl) == KEPT, SECONDS, "all else is gone")
    assert of_the_experiment(kubectl) == before
    experiment_uid(plane.cluster)


def pods_of(kubectl: Kubectl) -> list[str]:
    items = kubectl.json("get", "pods", OF_THE_EXPERIMENT)["items"]
    return sorted(item["metadata"]["labels"]["greenroom.dev/role"] for item in items)


def of_the_experiment(kubectl: Kubectl) -> dict[tuple[str, str], str]:
    """The uids of an experiment's children and pods, none of which is being deleted."""
    found = kubectl.json(
        "get",
        ",".join(f"{kind.plural}.{kind.group}".rstrip(".") for kind in KINDS),
        OF_THE_EXPERIMENT,
    )
    for item in found["items"]:
        assert "deletionTimestamp" not in item["metadata"], item["metadata"]
    return {
        (item["kind"], item["metadata"]["name"]): item["metadata"]["uid"] for item in found["items"]
    }


def experiment_uid(cluster: Cluster) -> str:
    found = cluster.kubectl().json("get", "rlx", "cartpole-dqn")
    assert "deletionTimestamp" not in found["metadata"]
    return str(found["metadata"]["uid"])


def test_the_manifest_is_applied_at_once_and_again(plane: ControlPlane) -> None:
    kubectl = plane.cluster.kubectl("greenroom-system")
    for _ in range(2):
        said = kubectl("apply", "--server-side", "-f", str(MANIFEST))
        assert "conflict" not in said
    kubectl("rollout", "status", "deployment/greenroom-operator", "--timeout=60s")
    plane.cluster.kubectl()("apply", "--server-side", "-f", str(EXAMPLE))
    assert experiment_uid(plane.cluster)


def test_users_of_a_namespace_may_do_so_with_its_experiments(plane: ControlPlane) -> None:
    kubectl = plane.cluster.kubectl()
    install(plane.cluster)
    for role in ("view", "edit", "admin"):
        kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}")

    def may(user: str, verb: str, subresource: str = "", namespace: str = "default") -> bool:
        place = [f"--subresource={subresource}", f"--namespace={namespace}", f"--as={user}"]
        return may_do(kubectl, verb, "rlexperiments.greenroom.dev", *place)

    reading, writing = ("get", "list", "watch"), ("create", "update", "patch", "delete")
    allowed = [
        (user, verb, subresource)
        for users, verbs, subresource in (
            (("view", "edit", "admin"), reading, ""),
            (("view", "edit", "admin"), ("get",), "scale"),
            (("edit", "admin"), writing, ""),
            (("edit", "admin"), ("patch",), "scale"),
        )
        for user in users
        for verb in verbs
    ]
    # A controller adds our roles to Kubernetes' own, to one after the other.
    for right in allowed:
        wait_until(partial(may, *right), SECONDS, f"{right} is added")
    for user in ("view", "edit", "admin"):
        assert not any(may(user, verb, namespace="system") for verb in reading), user
        assert not may(user, "patch", "status"), user
    assert not any(may("view", verb) for verb in writing)
    assert not may("view", "patch", "scale")


def may_do(kubectl: Kubectl, *question: str) -> bool:
    """What `kubectl auth can-i` answers; it fails where that is no."""
    try:
        return kubectl("auth", "can-i", "--quiet", *question) == ""
    except KubectlError:
        return False


def test_what_helm_test_runs_passes_and_fails_rightly(plane: ControlPlane, tmp_path: Path) -> None:
    install(plane.cluster, "replicas=0")
    pod = only(render(), "Pod")
    [container] = pod["spec"]["containers"]
    account = plane.cluster.kubeconfig_for("system", "greenroom-operator")

    def run(url: str) -> subprocess.CompletedProcess[str]:
        """The pod's own command, with the ServiceAccount's rights."""
        names = {each["name"]: each["value"] for each in container["env"]}
        assert names["OPERATOR_URL"] == "http://greenroom-operator.system:8080"
        environment = names | {"OPERATOR_URL": url, "KUBECONFIG": str(account)}
        return subprocess.run(
            [sys.executable, *container["command"][1:], *container["args"]],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    operator = OperatorProcess(account, None, tmp_path / "log", chart_flags())
    operator.start().wait_leading()
    try:
        done = run(operator.url)
        assert done.returncode == 0, done.stderr
        assert "the API server serves RLExperimentList" in done.stdout
    finally:
        operator.stop()
    assert run(operator.url).returncode != 0


def chart_flags(*settings: str) -> list[str]:
    """The arguments of the chart's Deployment, for a process of this machine."""
    deployment = only(render(*settings), "Deployment")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["greenroom-operator"]
    return [*container["args"], "--http-host=127.0.0.1", "--http-port=0", "--log-format=text"]


def test_the_api_server_takes_every_object_strictly(plane: ControlPlane) -> None:
    manifests = render(*WATCHED, "replicas=2", "metrics.monitor.kind=PodMonitor")
    manifests += of_kind(render(*WATCHED), "ServiceMonitor")
    kubectl = plane.cluster.kubectl("system")
    text = yaml.safe_dump_all(manifests)
    said = kubectl("apply", "--server-side", "--validate=strict", "-f", "-", stdin=text)
    assert len(said.splitlines()) == len(manifests)
    dashboards = kubectl.json("get", "configmaps", "--selector=grafana_dashboard=1")["items"]
    for each in dashboards:
        [text] = each["data"].values()
        assert json.loads(text)["panels"]
