"""Simulated pods: ready at once, or failing as their annotation says."""

import json

import pytest

from e2e.cluster.processes import wait_until

pytestmark = pytest.mark.slow
SECONDS = 60


def wait_for_account(kubectl):
    """A controller makes the account that a namespace's pods need; until then they are refused."""
    kubectl("wait", "serviceaccount/default", "--for=create", f"--timeout={SECONDS}s")


def make_pod(kubectl, **annotations):
    wait_for_account(kubectl)
    names = {f"test.greenroom.dev/{name.replace('_', '-')}": v for name, v in annotations.items()}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "annotations": names},
        "spec": {"containers": [{"name": "worker", "image": "any/image:1"}]},
    }
    kubectl("apply", "--filename=-", stdin=json.dumps(pod))


def wait_for(kubectl, met, what):
    """The pod's status once `met` holds for it."""
    seen = {}

    def holds():
        seen.update(kubectl.json("get", "pod", "p")["status"])
        return bool(seen.get("containerStatuses")) and met(seen, seen["containerStatuses"][0])

    wait_until(holds, SECONDS, what)
    return seen["containerStatuses"][0]


def is_ready(kubectl):
    return wait_for(kubectl, lambda _, container: container["ready"], "the pod is ready")


def waits_for(reason):
    return lambda _, container: container["state"].get("waiting", {}).get("reason") == reason


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "CreateContainerConfigError"])
def test_a_pod_that_waits(kubectl, reason):
    make_pod(kubectl, fail=reason, message='no "thing"')
    container = wait_for(kubectl, lambda s, _: s["phase"] == "Pending", "the pod waits")
    assert container["state"] == {"waiting": {"reason": reason, "message": 'no "thing"'}}
    assert container["restartCount"] == 0


@pytest.mark.parametrize(
    ("failure", "code", "reason"),
    [("CrashLoopBackOff", 3, "Error"), ("OOMKilled", 137, "OOMKilled")],
)
def test_a_pod_that_crashes_again_and_again(kubectl, failure, code, reason):
    given = {"exit_code": str(code)} if reason == "Error" else {}
    make_pod(kubectl, fail=failure, message="last\nwords", **given)
    container = wait_for(kubectl, lambda _, c: c["restartCount"] >= 2, "it restarted twice")
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    ended = container["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (code, reason, "last\nwords")


def test_a_running_pod_fails_and_heals_with_its_annotation(kubectl):
    make_pod(kubectl)
    is_ready(kubectl)
    kubectl("annotate", "pod/p", "test.greenroom.dev/fail=CrashLoopBackOff")
    wait_for(kubectl, lambda _, c: c["restartCount"] >= 1, "it restarted")
    kubectl("annotate", "pod/p", "--overwrite", "test.greenroom.dev/fail=NotReady")
    wait_for(kubectl, lambda _, c: "running" in c["state"] and not c["ready"], "it is not ready")
    for reason in ("ErrImagePull", "ImagePullBackOff"):
        kubectl("annotate", "pod/p", "--overwrite", f"test.greenroom.dev/fail={reason}")
        wait_for(kubectl, waits_for(reason), f"it waits: {reason}")
    kubectl("annotate", "pod/p", "test.greenroom.dev/fail-")
    assert is_ready(kubectl)["restartCount"] >= 1


def test_a_pod_has_the_address_that_it_is_told(kubectl):
    make_pod(kubectl, pod_ip="127.0.0.9")
    is_ready(kubectl)
    assert kubectl.json("get", "pod", "p")["status"]["podIP"] == "127.0.0.9"


def test_what_fits_no_node_is_unschedulable(kubectl):
    wait_for_account(kubectl)
    kubectl("run", "p", "--image=any", "--overrides", json.dumps({
        "spec": {"containers": [{
            "name": "p", "image": "any", "resources": {"requests": {"cpu": "5000"}},
        }]},
    }))  # fmt: skip

    def unschedulable():
        conditions = kubectl.json("get", "pod", "p")["status"].get("conditions", [])
        return any("Insufficient cpu" in c.get("message", "") for c in conditions)

    wait_until(unschedulable, SECONDS, "the scheduler says that there is too little CPU")
