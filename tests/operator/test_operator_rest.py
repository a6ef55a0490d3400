"""Nothing is written when nothing differs: at rest, after a restart, while learners are silent."""

import pytest
from operating import PATIENCE, Writes, apply, complete, condition, events, eventually, quiet, rest

STATUS = "rlexperiments/status"
NAMES = ("a", "b")
# A start is seen in more states where it takes long; each is one write of the status.
FEW = 8
POLLS = "greenroom_operator_progress_polls_total"


def test_nothing_is_written_at_rest_though_learners_are_asked_in_vain(
    make_operator, kubectl, cluster
):
    operator = make_operator("--progress-interval=1").wait_leading()
    writes = Writes(cluster, kubectl.namespace)
    for name in NAMES:
        apply(kubectl, name)
    for name in NAMES:
        complete(kubectl, name)
    quiet(writes)
    asked = operator.metric(POLLS, result="silent")

    before = silent(kubectl)
    written = rest(writes, 4.0)
    if silent(kubectl) != before:
        # Half a minute in vain is a turn, which is told; the test below is about it.
        eventually(lambda: silent(kubectl), lambda found: found == [*NAMES], PATIENCE)
        quiet(writes)
        written = rest(writes, 4.0)
    assert written == []

    # What writes nothing is not what stands still.
    eventually(lambda: operator.metric(POLLS, result="silent"), lambda count: count >= asked + 4)


def silent(kubectl):
    """Return whose learner is said to be silent."""
    return [name for name in NAMES if condition(kubectl, name, "Progressing")[1] == "LearnerSilent"]


def test_a_new_experiment_costs_one_write_a_child_and_few_of_its_status(operator, kubectl, cluster):
    writes = Writes(cluster, kubectl.namespace)
    apply(kubectl, "x")
    complete(kubectl, "x")
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
    assert 1 <= patched.count(STATUS) <= FEW
    assert sorted(resource for verb, resource in seen if verb != "patch") == ["events", "secrets"]
    assert {code for _, _, _, code in writes.seen()} <= {200, 201}


def test_a_restart_of_the_operator_writes_nothing(make_operator, kubectl, cluster):
    first = make_operator().wait_leading()
    apply(kubectl, "x")
    complete(kubectl, "x")
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
    # What this writes is the last of the start, its Event apart.
    complete(kubectl, "x")
    before = len(writes.seen())

    eventually(
        lambda: condition(kubectl, "x", "Progressing"),
        lambda found: found[:2] == ("Unknown", "LearnerSilent"),
        PATIENCE,
    )
    quiet(writes)
    written = [(verb, resource) for verb, resource, _, _ in writes.seen()[before:]]
    assert [resource for verb, resource in written if verb == "patch"] == [STATUS]
    assert {verb for verb, _ in written} == {"patch", "create"}
    told = [reason for reason, _ in events(kubectl, "x")]
    assert sorted(told) == ["LearnerSilent", "Started"]
    assert rest(writes, 10.0) == []
