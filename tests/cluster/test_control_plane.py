"""A control plane of one's own: what serves, who may do what, what is left when it is gone."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from e2e.cluster.binaries import REPOSITORY
from e2e.cluster.client import Api
from e2e.cluster.cluster import Kubectl, KubectlError
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.processes import ComponentError, wait_until
from e2e.cluster.shared import shared_cluster

# On a busy machine a control plane takes its time to start.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SECONDS = 60


@pytest.fixture(scope="module")
def plane():
    with ControlPlane(nodes=1, audit=True) as made:
        yield made


def test_every_component_runs_and_a_deployment_gets_ready(plane):
    kubectl = plane.cluster.kubectl()
    kubectl("create", "deployment", "web", "--image=any", "--replicas=2")
    kubectl("rollout", "status", "deployment/web", f"--timeout={SECONDS}s")
    assert kubectl.json("version")["serverVersion"]["gitVersion"] == "v1.34.4"
    assert {component.name for component in plane.components if component.memory > 2**20} == {
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kwok",
    }


def test_a_service_account_may_do_what_its_role_says_and_the_audit_log_tells(plane):
    admin = plane.cluster.kubectl("default")
    admin("create", "serviceaccount", "reader")
    admin("create", "role", "reader", "--verb=list", "--resource=configmaps")
    admin("create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:reader")
    me = "system:serviceaccount:default:reader"
    # The API server takes a moment to know of a role, and a controller to make the ConfigMap.
    for question in (
        ("auth", "can-i", "list", "configmaps", f"--as={me}"),
        ("get", "configmap", "kube-root-ca.crt"),
    ):
        wait_until(partial(succeeds, admin, *question), SECONDS, " ".join(question))
    reader = Kubectl(plane.cluster.kubeconfig_for("default", "reader"))
    assert "kube-root-ca.crt" in reader("get", "configmaps")
    with pytest.raises(KubectlError, match=r"Forbidden.*default:reader.*cannot list.*secrets"):
        reader("get", "secrets")
    # The last line may be on its way.
    lines = plane.cluster.audit_log.read_text().rpartition("\n")[0].splitlines()
    events = map(json.loads, lines)
    seen = {
        (event["verb"], event["objectRef"]["resource"], event["responseStatus"]["code"])
        for event in events
        if event["user"]["username"] == me and "resource" in event.get("objectRef", {})
    }
    assert seen == {("list", "configmaps", 200), ("list", "secrets", 403)}


def succeeds(kubectl, *arguments):
    try:
        kubectl(*arguments)
    except KubectlError:
        return False
    return True


def test_a_killed_api_server_comes_back_with_what_was_stored(plane):
    kubectl = plane.cluster.kubectl()
    kubectl("create", "configmap", "kept", "--from-literal=a=b")
    plane.apiserver.kill()
    with pytest.raises(KubectlError, match="refused"):
        kubectl("get", "configmap", "kept")
    plane.apiserver.start()
    plane.apiserver.wait_ready()
    assert kubectl.json("get", "configmap", "kept")["data"] == {"a": "b"}


def test_a_paused_api_server_answers_nobody_until_it_goes_on(plane):
    with plane.api() as api:
        plane.apiserver.pause()
        assert not api.ready()
        plane.apiserver.resume()
        wait_until(api.ready, SECONDS, "the API server answers")


def test_a_component_that_does_not_start_says_why():
    with pytest.raises(ComponentError, match=r"kube-apiserver ended, status 1:[^$]*--no-such-flag"):
        ControlPlane(apiserver_flags=["--no-such-flag"]).__enter__()


def test_nothing_is_left_when_the_owner_is_killed():
    owner = subprocess.Popen(
        [sys.executable, "-m", "e2e.cluster", "up", "--nodes=1"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    with owner:
        lines = iter(owner.stdout.readline, "")
        kubeconfig = next(line for line in lines if line.startswith("export KUBECONFIG="))
        folder = Path(kubeconfig.strip().removeprefix("export KUBECONFIG=")).parent
        processes = _processes_with(str(folder))
        data = next(word for word in _command(processes["etcd"]) if "data-dir" in word)
        assert {"etcd", "kube-apiserver", "kwok"} < processes.keys()
        owner.send_signal(signal.SIGKILL)
    ended = "all processes have ended"
    wait_until(lambda: not any(map(_command, processes.values())), SECONDS, ended)
    wait_until(lambda: not folder.exists(), SECONDS, f"{folder} is removed")
    stored = Path(data.partition("=")[2]).parent
    wait_until(lambda: not stored.exists(), SECONDS, f"{stored} is removed")


def test_users_share_a_control_plane_and_the_last_one_ends_it(tmp_path):
    folder = tmp_path / "shared"
    with shared_cluster(folder, tmp_path) as first:
        with shared_cluster(folder, tmp_path) as second:
            assert second.kubeconfig == first.kubeconfig
        with Api.of(first.kubeconfig) as api:
            assert api.ready()
    with Api.of(first.kubeconfig) as api:
        wait_until(lambda: not api.ready(), SECONDS, "the control plane has ended")


WITH_THE_FIXTURES = """
def test_what_the_fixtures_give(cluster, namespace, kubectl):
    assert cluster.audit_log is None
    # It is a copy that needs no other file, and nobody else may read its key.
    assert "certificate-authority-data" in cluster.kubeconfig.read_text()
    assert cluster.kubeconfig.stat().st_mode & 0o777 == 0o600
    kubectl("create", "configmap", "made", "--from-literal=a=b")
    cluster.kubectl()("create", "configmap", "told", f"--from-literal=namespace={namespace}")
"""


def test_a_cluster_that_is_there_already_is_used_by_the_fixtures(plane, tmp_path):
    file = tmp_path / "test_with_the_fixtures.py"
    file.write_text(WITH_THE_FIXTURES)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", f"--rootdir={tmp_path}"),
            *("-c", tmp_path / "pytest.ini", f"--basetemp={tmp_path / 'base'}"),
            *("-p", "e2e.cluster.fixtures", "-p", "no:cacheprovider", file),
        ],
        cwd=REPOSITORY,
        env=os.environ | {"GREENROOM_E2E_KUBECONFIG": str(plane.cluster.kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kubectl = plane.cluster.kubectl()
    namespace = kubectl.json("get", "configmap", "told")["data"]["namespace"]
    gone = "the namespace of that test is gone"
    wait_until(lambda: not succeeds(kubectl, "get", "namespace", namespace), SECONDS, gone)
    assert not list(tmp_path.rglob("control-plane*")), "one was started all the same"


def _processes_with(word):
    """Pids by the component's name, of processes that name `word` or belong to one that does."""
    found = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            command = _command(int(path.name))
            if command and word in " ".join(command):
                found[Path(command[0]).name.partition("-v")[0]] = int(path.name)
    # etcd does not know the folder; its API server knows its address.
    server = _command(found["kube-apiserver"])
    address = next(w for w in server if "etcd-servers" in w).partition("=")[2]
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and f"--listen-client-urls={address}" in _command(int(path.name)):
            found["etcd"] = int(path.name)
    return found


def _command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []
