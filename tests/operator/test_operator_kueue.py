"""Experiments wait in queues of the real Kueue, run once they are admitted, and make room."""

import pytest
from definition import install_crd
from operating import complete, condition, document, events, eventually, ready, status
from operator_process import OperatorProcess
from queues import FLAVOR, QUEUE, admitted, experiment, pods, put, queue, said, workload

from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.kueue import kueue

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def plane():
    with ControlPlane(nodes=1, audit=True) as plane:
        install_crd(plane.cluster.kubectl())
        yield plane


@pytest.fixture(scope="module")
def controller(plane):
    with kueue(plane) as controller:
        yield controller


@pytest.fixture
def kubectl(plane, controller, request):
    name = request.node.name.replace("_", "-")[:50].rstrip("-")
    plane.cluster.kubectl()("create", "namespace", name)
    return plane.cluster.kubectl(name)


@pytest.fixture
def operator(plane, kubectl, tmp_path):
    made = OperatorProcess(plane.cluster.kubeconfig, kubectl.namespace, tmp_path / "log").start()
    yield made.wait_leading()
    made.stop()
    print(made.log)
    made.check()


def test_nothing_starts_until_the_queue_admits_it(operator, kubectl):
    name = put(kubectl, experiment("waits"))
    admitted(kubectl, name, "False", "Queued", "team")
    assert status(kubectl, name)["phase"] == "Queued"
    # Its volumes and its Deployments are there, with no pod.
    eventually(lambda: kubectl.json("get", "deployments")["items"], lambda found: len(found) == 3)
    assert not pods(kubectl, name)

    queue(kubectl)
    found = complete(kubectl, name)
    assert admitted(kubectl, name, "True", "Admitted").startswith("queue team has admitted it")
    admission = found["admission"]
    assert [one["name"] for one in admission["podSets"]] == [
        *("replay", "learner", "actor", "evaluator")
    ]
    assert found["phase"] == "Running"
    for pod in pods(kubectl, name):
        assert pod["spec"]["nodeSelector"] == {"type": "kwok"}
        assert {"key": "reserved", "operator": "Exists", "effect": "NoSchedule"} in (
            pod["spec"]["tolerations"]
        )
    eventually(lambda: said(kubectl, name, "PodsReady"), lambda seen: seen == ("True", "Started"))
    assert admission["podSets"][1]["tolerations"] == FLAVOR["tolerations"]
    reasons = [reason for reason, _ in events(kubectl, name)]
    assert reasons.count("Admitted") == 1
    assert "Resumed" not in reasons


def test_the_second_waits_until_the_first_has_left(operator, kubectl):
    queue(kubectl)
    first = put(kubectl, experiment("first"))
    ready(kubectl, first)
    second = put(kubectl, experiment("second"))
    message = admitted(kubectl, second, "False", "Queued", "insufficient unused quota")
    assert "cpu" in message
    assert not pods(kubectl, second)
    assert condition(kubectl, second, "Progressing")[:2] == ("False", "Queued")

    kubectl("delete", "rlx", first, "--timeout=60s")
    ready(kubectl, second)


def test_an_admitted_experiment_is_not_scaled(operator, kubectl):
    queue(kubectl, cpu="100")
    name = put(kubectl, experiment("scaled"))
    complete(kubectl, name)
    uid = workload(kubectl, name)["metadata"]["uid"]

    kubectl("scale", "rlx", name, "--replicas=5")
    message = admitted(kubectl, name, "True", "ScalingRefused")
    assert message.startswith("spec.actors.replicas is 5, but queue team admitted 2 actors")
    assert status(kubectl, name)["actors"]["desired"] == 2
    assert len(pods(kubectl, name)) == 5
    assert workload(kubectl, name)["metadata"]["uid"] == uid

    # As the message says:
    kubectl("patch", "rlx", name, "--type=merge", "--patch", '{"spec": {"suspend": true}}')
    eventually(lambda: status(kubectl, name)["phase"], lambda phase: phase == "Suspended")
    eventually(lambda: workload(kubectl, name), lambda found: not found)
    admitted(kubectl, name, "False", "NotQueued")
    kubectl("patch", "rlx", name, "--type=merge", "--patch", '{"spec": {"suspend": false}}')
    eventually(lambda: len(pods(kubectl, name)), lambda count: count == 8)
    admitted(kubectl, name, "True", "Admitted")


def test_who_is_evicted_stops_gives_its_quota_back_and_may_come_again(operator, kubectl):
    queue(kubectl)
    name = put(kubectl, experiment("evicted"))
    complete(kubectl, name)
    active = ("patch", "workload", f"rlexperiment-{name}", "--type=merge", "--patch")
    kubectl(*active, '{"spec": {"active": false}}')
    admitted(kubectl, name, "False", "Evicted", "Deactivated")
    eventually(lambda: status(kubectl, name)["phase"], lambda phase: phase == "Queued")
    assert not pods(kubectl, name)
    assert condition(kubectl, name, "Suspended")[0] == "True"
    eventually(
        lambda: said(kubectl, name, "QuotaReserved"), lambda seen: seen == ("False", "Pending")
    )
    assert "admission" not in workload(kubectl, name)["status"]
    eventually(lambda: "admission" in status(kubectl, name), lambda there: not there)

    kubectl(*active, '{"spec": {"active": true}}')
    complete(kubectl, name)
    admitted(kubectl, name, "True", "Admitted")
    eventually(lambda: said(kubectl, name, "PodsReady"), lambda seen: seen == ("True", "Started"))


def test_what_needs_more_is_queued_anew(operator, kubectl):
    queue(kubectl)
    name = put(kubectl, experiment("grows"))
    complete(kubectl, name)
    uid = workload(kubectl, name)["metadata"]["uid"]
    container = {"name": "worker", "resources": {"requests": {"cpu": "100"}}}
    learner = {"podTemplate": {"spec": {"containers": [container]}}}
    put(kubectl, experiment(name, learner=learner))
    admitted(kubectl, name, "False", "Queued", "insufficient quota")
    assert not pods(kubectl, name)
    assert workload(kubectl, name)["metadata"]["uid"] != uid

    # While it waits, it may change as it likes.
    put(kubectl, experiment(name, actors={"replicas": 1}))
    complete(kubectl, name)
    assert len(pods(kubectl, name)) == 4


def test_without_its_label_it_runs_and_needs_no_workload(operator, kubectl):
    name = put(kubectl, experiment("free"))
    admitted(kubectl, name, "False", "Queued")
    kubectl("label", "rlx", name, f"{QUEUE}-")
    complete(kubectl, name)
    assert condition(kubectl, name, "Admitted") == ("", "", "")
    eventually(lambda: workload(kubectl, name), lambda found: not found)


def test_one_that_runs_stops_before_it_waits(operator, kubectl):
    queue(kubectl, cpu="1")
    name = put(kubectl, experiment("labelled", labels={}))
    complete(kubectl, name)
    kubectl("label", "rlx", name, f"{QUEUE}=team")
    admitted(kubectl, name, "False", "Queued", "insufficient quota")
    assert not pods(kubectl, name)


def test_the_priority_class_is_asked_for_its_value(operator, kubectl):
    labels = {QUEUE: "team", "kueue.x-k8s.io/priority-class": f"high-{kubectl.namespace}"}
    name = put(kubectl, experiment("urgent", labels=labels))
    eventually(
        lambda: condition(kubectl, name, "Progressing"),
        lambda seen: seen[1] == "ChildRefused" and "WorkloadPriorityClass" in seen[2],
    )
    body = f"""
apiVersion: kueue.x-k8s.io/v1beta2
kind: WorkloadPriorityClass
metadata: {{name: {labels["kueue.x-k8s.io/priority-class"]}}}
value: 1234
"""
    kubectl("apply", "--server-side", "-f", "-", stdin=body)
    queue(kubectl)
    complete(kubectl, name)
    assert workload(kubectl, name)["spec"]["priority"] == 1234


def test_kueue_may_be_away(plane, controller, operator, kubectl, tmp_path):
    queue(kubectl)
    name = put(kubectl, experiment("runs"))
    complete(kubectl, name)
    before = {pod["metadata"]["uid"] for pod in pods(kubectl, name)}
    operator.stop()
    # kopf's words for a list that it will ask for again.
    operator.expected = ("Request attempt",)
    controller.stop()
    # Or it would go on with what it converted before.
    plane.apiserver.restart()
    try:
        # Kueue converts Workloads for whoever lists them: nobody knows now what was admitted.
        operator.start().wait_leading()
        kubectl("apply", "--server-side", "-f", "-", stdin=document("other"))
        ready(kubectl, "other")
        assert {pod["metadata"]["uid"] for pod in pods(kubectl, name)} == before
        assert "what Kueue has admitted is not known" in operator.log
    finally:
        controller.start()
        controller.wait_ready()
    kubectl("delete", "rlx", name, "--timeout=60s")
    second = put(kubectl, experiment("second"))
    ready(kubectl, second)
