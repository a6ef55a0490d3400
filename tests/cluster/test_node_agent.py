"""Pods as real processes: what kubelet would do with them, done."""

import json
import os
import signal
from pathlib import Path

import pytest
import requests

from e2e.cluster.cluster import Cluster
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.node import NodeAgent
from e2e.cluster.processes import wait_until

# On a busy machine a control plane takes its time to start.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SECONDS = 60

# Answers with what it finds; /die ends it as a crash does.
SERVER = """
import http.server, os, signal, socket, sys
with open("/data/runs", "a") as runs:
    runs.write("run\\n")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/die":
            print("last words", flush=True)
            os._exit(3)
        self.send_response(200 if os.path.exists("/tmp/ready") or self.path != "/ready" else 503)
        self.end_headers()
        self.wfile.write("\\n".join([
            open("/data/runs").read(), open("/etc/settings/key").read(), os.environ["WORD"],
            f"user {os.getuid()} groups {os.getgroups()} process {os.getpid()}",
            socket.gethostname(), str(os.access("/etc", os.W_OK)),
        ]).encode())
    def log_message(self, *_): pass
def leave(*_):
    with open("/data/runs", "a") as runs:
        runs.write("left\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
open("/tmp/ready", "w")
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""


def container(command, **more):
    return {"name": "worker", "image": "not-looked-at", "command": command, **more}


def stateful_set():
    """One pod of `SERVER` with a claim, a ConfigMap, a user of its own and a read-only root."""
    probe = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1}
    server = container(
        ["python", "-c", SERVER],
        env=[
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "WORD", "value": "at $(POD_IP)"},
        ],
        ports=[{"name": "http", "containerPort": 8080}],
        securityContext={"readOnlyRootFilesystem": True},
        startupProbe=probe | {"failureThreshold": 60},
        readinessProbe=probe,
        terminationMessagePolicy="FallbackToLogsOnError",
        volumeMounts=[
            {"name": "data", "mountPath": "/data"},
            {"name": "settings", "mountPath": "/etc/settings"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    )
    pod = {
        "securityContext": {"runAsUser": 1234, "runAsGroup": 1234, "fsGroup": 1234},
        "containers": [server],
        "volumes": [
            {"name": "settings", "configMap": {"name": "settings"}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "web"},
        "spec": {
            "serviceName": "web",
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod},
            "volumeClaimTemplates": [claim],
        },
    }


@pytest.fixture
def web(kubectl, agent):
    """The address of the server's pod, once ready; the stateful set is web, its pod web-0."""
    kubectl("create", "configmap", "settings", "--from-literal=key=first")
    kubectl("create", "service", "clusterip", "web", "--tcp=8080", "--clusterip=None")
    kubectl("apply", "--filename=-", stdin=json.dumps(stateful_set()))
    return ready_address(kubectl)


def ready_address(kubectl):
    """Wait for the pod itself: its StatefulSet may not know yet that it is another one."""

    def ready():
        found = kubectl.json("get", "pods", "--selector=app=web")["items"]
        return [pod["status"]["podIP"] for pod in found if is_ready(pod)]

    seen = []
    wait_until(lambda: bool(seen.extend(ready()) or seen), SECONDS, "web-0 is ready")
    return seen[0]


def is_ready(pod):
    conditions = pod["status"].get("conditions", ())
    return any((each["type"], each["status"]) == ("Ready", "True") for each in conditions)


def get(address, path="/"):
    return requests.get(f"http://{address}:8080{path}", timeout=10)


def wait_for_account(kubectl):
    """A controller makes the account that a namespace's pods need; until then they are refused."""
    kubectl("wait", "serviceaccount/default", "--for=create", f"--timeout={SECONDS}s")


def run_pod(kubectl, spec):
    wait_for_account(kubectl)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    kubectl("apply", "--filename=-", stdin=json.dumps(pod))


def wait_for_pod(kubectl, met, what):
    seen = {}

    def holds():
        seen.update(kubectl.json("get", "pod", "p")["status"])
        return met(seen)

    wait_until(holds, SECONDS, what)
    return seen


def test_a_pod_runs_as_its_spec_says(web):
    lines = get(web).text.splitlines()
    user = "user 1234 groups [1234] process 1"
    assert lines == ["run", "", "first", f"at {web}", user, "web-0", "False"]


def test_a_crash_restarts_the_container_and_its_cause_is_told(kubectl, web):
    with pytest.raises(requests.ConnectionError):
        get(web, "/die")

    def restarted():
        found = kubectl.json("get", "pod", "web-0")["status"]["containerStatuses"][0]
        return found["restartCount"] == 1 and found["ready"]

    wait_until(restarted, SECONDS, "it is restarted and ready")
    status = kubectl.json("get", "pod", "web-0")["status"]
    ended = status["containerStatuses"][0]["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (3, "Error")
    assert ended["message"].endswith("last words\n")
    # The same pod: its address and its volumes stay.
    assert status["podIP"] == web
    assert get(web).text.splitlines()[:2] == ["run", "run"]


def test_a_deleted_pod_leaves_in_its_own_time_and_the_next_one_finds_its_data(kubectl, web):
    kubectl("delete", "pod", "web-0")
    address = ready_address(kubectl)
    assert get(address).text.splitlines()[:3] == ["run", "left", "run"]


def test_a_changed_config_map_reaches_the_running_pod(kubectl, web):
    change = json.dumps({"data": {"key": "second"}})
    kubectl("patch", "configmap", "settings", f"--patch={change}")
    wait_until(lambda: "second" in get(web).text, SECONDS, "the mounted file follows")
    assert get(web).text.splitlines()[0] == "run"


def test_pods_find_each_other_by_the_names_of_services(kubectl, namespace, web, agent):
    names = ["web", f"web.{namespace}.svc", f"web-0.web.{namespace}.svc.cluster.local"]
    ask = "\n".join([
        "import sys, time, socket",
        "found = set()",
        f"while not found >= {set(names)!r}:",
        "    time.sleep(0.1)",
        f"    for name in {names!r}:",
        "        try: found |= {name} if socket.gethostbyname(name) else set()",
        "        except OSError: pass",
        "print('found', socket.gethostbyname('web'))",
    ])  # fmt: skip
    run_pod(kubectl, {"restartPolicy": "Never", "containers": [container(["python", "-c", ask])]})
    wait_for_pod(kubectl, lambda s: s["phase"] == "Succeeded", "all names are found")
    assert f"found {web}\n" in agent.logs("_p_")


def test_init_containers_run_first_and_a_failing_one_is_tried_again(kubectl, agent):
    once = "test -e /scratch/tried || { touch /scratch/tried; exit 1; }"
    work = [{"name": "work", "mountPath": "/scratch"}]
    run_pod(kubectl, {
        "restartPolicy": "OnFailure",
        "initContainers": [
            {**container(["sh", "-c", once], volumeMounts=work), "name": "first"},
        ],
        "containers": [container(["ls", "/scratch"], volumeMounts=work)],
        "volumes": [{"name": "work", "emptyDir": {}}],
    })  # fmt: skip
    status = wait_for_pod(kubectl, lambda s: s["phase"] == "Succeeded", "the pod succeeds")
    assert status["initContainerStatuses"][0]["restartCount"] == 1
    assert "tried\n" in agent.logs("worker.0")


def test_a_failing_liveness_probe_restarts_the_container(kubectl, agent):
    probe = {"exec": {"command": ["test", "!", "-e", "/tmp/sick"]}, "periodSeconds": 1}
    sick = "sleep 1; touch /tmp/sick; exec sleep 600"
    run_pod(kubectl, {
        "terminationGracePeriodSeconds": 1,
        "containers": [
            container(["sh", "-c", sick], livenessProbe=probe | {"failureThreshold": 1}),
        ],
    })  # fmt: skip

    def restarted(status):
        return status["containerStatuses"][0]["restartCount"] >= 1

    status = wait_for_pod(kubectl, lambda s: "podIP" in s and restarted(s), "it is restarted")
    ended = status["containerStatuses"][0]["lastState"]["terminated"]
    # `sleep` as process 1 does not hear SIGTERM: it is killed after its grace period.
    assert (ended["exitCode"], "liveness" in ended["message"]) == (137, True)


def test_a_killed_container_starts_again_at_once_and_its_end_is_told(kubectl, namespace, agent):
    word = f"/tmp/{namespace}"
    run_pod(kubectl, {"containers": [container(["sh", "-c", f": {word}; sleep 600; :"])]})
    wait_for_pod(kubectl, lambda s: s["phase"] == "Running", "the pod runs")
    shell = f"sh\0-c\0: {word}"
    wait_until(lambda: bool(processes_with(shell)), SECONDS, "it has become its command")
    os.kill(int(processes_with(shell)[0].parent.name), signal.SIGKILL)
    seen = []

    def restarted(status):
        seen.append(status["containerStatuses"][0])
        return seen[-1]["restartCount"] == 1 and "running" in seen[-1]["state"]

    status = wait_for_pod(kubectl, restarted, "it is restarted")
    ended = status["containerStatuses"][0]["lastState"]["terminated"]
    assert (ended["exitCode"], "message" in ended) == (137, False)
    assert not any("waiting" in one["state"] for one in seen)


def test_a_missing_secret_is_told_and_waited_for(kubectl, agent):
    word = {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "late", "key": "word"}}}
    run_pod(kubectl, {
        "restartPolicy": "Never",
        "containers": [container(["sh", "-c", "echo $WORD"], env=[word])],
    })  # fmt: skip

    def waits(status):
        states = [c["state"].get("waiting", {}) for c in status.get("containerStatuses", [])]
        return any('secret "late" not found' in state.get("message", "") for state in states)

    status = wait_for_pod(kubectl, waits, "the pod says what is missing")
    reason = status["containerStatuses"][0]["state"]["waiting"]["reason"]
    assert reason == "CreateContainerConfigError"
    kubectl("create", "secret", "generic", "late", "--from-literal=word=hello")
    wait_for_pod(kubectl, lambda s: s["phase"] == "Succeeded", "the pod succeeds")
    assert "hello" in agent.logs("worker.0")


def test_other_pods_keep_off_the_node(kubectl, agent, cluster):
    kubectl("create", "namespace", f"{kubectl.namespace}-other")
    other = cluster.kubectl(f"{kubectl.namespace}-other")
    wait_for_account(other)
    other("run", "p", "--image=any")
    other("wait", "pod/p", "--for=condition=Ready", f"--timeout={SECONDS}s")
    assert other.json("get", "pod", "p")["spec"]["nodeName"].startswith("kwok-")
    other("delete", "namespace", other.namespace, "--wait=false")


def test_pods_go_on_while_the_api_server_is_away():
    with ControlPlane() as plane, NodeAgent(plane.cluster) as agent:
        kubectl = plane.cluster.kubectl()
        agent.take("default")
        count = "import itertools, time\nfor n in itertools.count(): print(n), time.sleep(0.1)"
        spec = {"containers": [container(["python", "-uc", count])]}
        run_pod(kubectl, spec | {"terminationGracePeriodSeconds": 1})
        wait_for_pod(kubectl, lambda s: s.get("phase") == "Running", "the pod runs")
        plane.apiserver.kill()
        before = agent.logs()
        wait_until(lambda: len(agent.logs()) > len(before) + 20, SECONDS, "the pod goes on")
        plane.apiserver.start()
        plane.apiserver.wait_ready()
        kubectl("delete", "pod", "p", f"--timeout={SECONDS}s")
        # One run only: it was not started again.
        assert agent.logs().count("---") == 1


def test_only_a_control_plane_of_ours_gets_a_node(cluster, tmp_path):
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(cluster.kubectl()("config", "view", "--raw", "--output=yaml"))
    with pytest.raises(ValueError, match=r"Nodes are added to a control plane of e2e.cluster"):
        NodeAgent(Cluster(kubeconfig, tmp_path)).__enter__()


def test_pods_end_with_their_agent(cluster, namespace):
    kubectl = cluster.kubectl(namespace)
    with NodeAgent(cluster) as agent:
        agent.take(namespace)
        command = ["python", "-m", "http.server", "8080", "--directory", f"/tmp/{namespace}"]
        spec = {
            "containers": [container(["sh", "-c", f"mkdir {command[-1]}; {' '.join(command)}"])]
        }
        run_pod(kubectl, spec)
        status = wait_for_pod(kubectl, lambda s: "podIP" in s, "the pod has an address")
        address = status["podIP"]

        def answers():
            try:
                return get(address).ok
            except requests.RequestException:
                return False

        wait_until(answers, SECONDS, "its server answers")
        assert processes_with(command[-1])
    # The kernel ends what the agent's own processes held, a moment after them.
    wait_until(lambda: processes_with(command[-1]) == [], SECONDS, "all have ended")


def processes_with(word):
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [path] if word in path.read_text() else []
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
