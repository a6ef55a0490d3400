"""Nothing is written when nothing differs: at rest, after a restart, while learners are silent."""

import pytest
from operating import Writes, apply, condition, eventually, quiet, ready, rest

STATUS = "rlexperiments/status"
POLLS = "greenroom_operator_progress_polls_total"


def test_nothing_is_written_at_rest_though_learners_are_asked_in_vain(
    make_operator, kubectl, cluster
):
    operator = make_operator("--progress-interval=1").wait_leading()
    writes = Writes(cluster, kubectl.namespace)
    for name in ("a", "b"):
        apply(kubectl, name)
    for name in ("a", "b"):
        ready(kubectl, name)
    quiet(writes)
    asked = operator.metric(POLLS, result="silent")

    assert rest(writes, 4.0) == []

    # What writes nothing is not what stands still.
    assert operator.metric(POLLS, result="silent") >= asked + 4


def test_a_new_experiment_costs_one_write_a_child_and_few_of_its_status(operator, kubectl, cluster):
    writes = Writes(cluster, kubectl.namespace)
    apply(kubectl, "x")
    ready(kubectl, "x")
    quiet(writes)

    seen = [(verb, resource) for verb, resource, _, _ in writes.seen()]
    patched = [resource for verb, resource in seen if verb == "patch"]
    assert sorted(one for one in patched if one != STATUS) == sorted(
        [
            *("configmaps", "persistentvolumeclaims", "services", "services", "networkpolicies"),
            *("statefulsets", "deployments", "deployments", "deployments"),
            *("poddisruptionbudgets", "poddisruptionbudgets"),
        ]
    )
    # Before pods are ready, when enough are, and when all are; what comes together is one.
    assert patched.count(STATUS) in (1, 2, 3)
    assert sorted(resource for verb, resource in seen if verb != "patch") == ["events", "secrets"]
    assert {code for _, _, _, code in writes.seen()} <= {200, 201}


def test_a_restart_of_the_operator_writes_nothing(make_operator, kubectl, cluster):
    first = make_operator().wait_leading()
    apply(kubectl, "x")
    ready(kubectl, "x")
    quiet(Writes(cluster, kubectl.namespace))
    assert first.stop() == 0
    writes = Writes(cluster, kubectl.namespace)

    second = make_operator().wait_leading()

    done = "greenroom_operator_reconciles_total"
    eventually(lambda: second.metric(done, result="done"), lambda count: count >= 1)
    assert rest(writes, 3.0) == []
    assert second.metric("greenroom_operator_api_requests_total", verb="apply") == 0


@pytest.mark.slow
def test_a_learner_that_stays_silent_is_one_write_and_one_event(make_operator, kubectl, cluster):
    make_operator("--progress-interval=1").wait_leading()
    writes = Writes(cluster, kubectl.namespace)
    apply(kubectl, "x")
    ready(kubectl, "x")
    quiet(writes)
    before = len(writes.seen())

    eventually(
        lambda: condition(kubectl, "x", "Progressing"),
        lambda found: found[:2] == ("Unknown", "LearnerSilent"),
        seconds=60.0,
    )
    quiet(writes)
    written = [(verb, resource) for verb, resource, _, _ in writes.seen()[before:]]
    assert sorted(written) == [("create", "events"), ("patch", "rlexperiments/status")]
    assert rest(writes, 10.0) == []
