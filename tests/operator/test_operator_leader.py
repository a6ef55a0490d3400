"""Two operators and one Lease: one writes, the other one waits and takes over."""

import json
import signal
import time

import pytest
from definition import install_crd
from operating import Writes, apply, child_names, children, eventually, quiet, ready
from operator_process import OperatorProcess

from e2e.cluster.control_plane import ControlPlane
from greenroom_operator.leader import DURATION_SECONDS

LEADS = "greenroom_operator_is_leader"
REQUESTS = "greenroom_operator_api_requests_total"


def holder(kubectl):
    return kubectl.json("get", "lease", "greenroom-operator")["spec"].get("holderIdentity", "")


def test_one_of_two_writes_and_the_other_is_ready(make_operator, kubectl, cluster):
    first = make_operator().wait_leading()
    second = make_operator().wait_ready()
    writes = Writes(cluster, kubectl.namespace)

    apply(kubectl, "x")
    ready(kubectl, "x")
    quiet(writes)

    assert (first.metric(LEADS), second.metric(LEADS)) == (1, 0)
    assert second.metric(REQUESTS, verb="apply") == second.metric(REQUESTS, verb="patch") == 0
    # Nor does it read; of its watches `faults/test_operator_standby.py` tells.
    assert first.metric(REQUESTS, verb="list") > second.metric(REQUESTS, verb="list") == 0
    assert second.get("/healthz").status_code == 200
    # Each child was written once.
    applied = [
        (resource, name)
        for verb, resource, name, _ in writes.seen()
        if verb == "patch" and resource != "rlexperiments/status"
    ]
    assert len(set(applied)) == len(applied) == 11


def test_a_leader_that_is_asked_to_end_gives_the_lease_away_at_once(make_operator, kubectl):
    first = make_operator().wait_leading()
    second = make_operator().wait_ready()
    began = holder(kubectl)

    assert first.stop() == 0

    # Not a speed, but the rule: nobody need wait until the Lease has run out.
    assert holder(kubectl) != began
    second.wait_leading()
    assert holder(kubectl) not in ("", began)


def test_who_is_asked_to_end_again_and_again_ends_as_well(make_operator, kubectl):
    operator = make_operator().wait_leading()
    for _ in range(5):
        operator.signal(signal.SIGTERM)
        time.sleep(0.002)
    # Its log has no error: see `make_operator`.
    assert operator.wait() == 0
    assert holder(kubectl) == ""


@pytest.mark.slow
def test_the_standby_takes_over_from_a_leader_that_is_killed(make_operator, kubectl):
    first = make_operator().wait_leading()
    second = make_operator().wait_ready()
    apply(kubectl, "x")
    ready(kubectl, "x")

    first.kill()
    apply(kubectl, "y")
    kubectl("delete", "service", "x-learner")
    second.wait_logged("leading")

    ready(kubectl, "y")
    assert children(kubectl, "y").keys() == child_names("y")
    eventually(lambda: children(kubectl, "x").keys(), lambda keys: keys == child_names("x"))
    assert kubectl.json("get", "lease", "greenroom-operator")["spec"]["leaseTransitions"] == 1


@pytest.mark.slow
def test_who_finds_the_lease_in_other_hands_ends(make_operator, kubectl):
    operator = make_operator().wait_leading()
    spec = {"holderIdentity": "somebody-else", "renewTime": "2026-01-01T00:00:00.000000Z"}

    kubectl(
        *("patch", "lease", "greenroom-operator", "--type=merge"),
        f"--patch={json.dumps({'spec': spec})}",
    )

    assert operator.wait() == 1
    assert "the Lease was taken over by somebody-else" in operator.log
    assert holder(kubectl) == "somebody-else"
    # It says so as an error, which it is.
    operator.expected = ("the Lease was taken over",)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_who_cannot_renew_the_lease_ends_before_another_may_take_it(tmp_path):
    with ControlPlane(nodes=1) as plane:
        install_crd(plane.cluster.kubectl())
        operator = OperatorProcess(
            plane.cluster.kubeconfig, "default", tmp_path / "operator.log"
        ).start()
        operator.wait_leading()

        plane.apiserver.pause()
        paused = time.monotonic()
        # Said when all its work has ended; Python takes a moment more.
        operator.wait_logged("the Lease was not renewed for")

        # That is the promise: the Lease has run out for nobody yet.
        assert time.monotonic() - paused < DURATION_SECONDS
        assert operator.wait() == 1
        assert "Traceback" not in operator.log
        plane.apiserver.resume()
