from dataclasses import replace
from datetime import timedelta

import pytest
from life_tools import (
    ALL,
    NONE,
    UID,
    after,
    all_pods,
    experiment,
    latched,
    leaving,
    pending,
    pod,
    seen,
    workloads,
)

from greenroom_operator.observed import Child
from greenroom_operator.policies import decide
from greenroom_operator.policies.stopping import stage

SUSPENDED = experiment(suspend=True)
STOPPED_ACTORS = {**ALL, "actor": 0, "evaluator": 0}
STOPPED_LEARNER = {**STOPPED_ACTORS, "learner": 0}


@pytest.mark.parametrize(
    ("pods", "replicas", "expected", "wanted"),
    [
        (all_pods(), ALL, "actors", STOPPED_ACTORS),
        ((leaving("actor"), pod("learner"), pod("replay")), STOPPED_ACTORS, "actors", None),
        ((leaving("evaluator"), pod("learner")), STOPPED_ACTORS, "actors", None),
        ((pod("learner"), pod("replay")), STOPPED_ACTORS, "learner", STOPPED_LEARNER),
        ((leaving("learner"), pod("replay")), STOPPED_LEARNER, "learner", STOPPED_LEARNER),
        ((pod("replay"),), STOPPED_LEARNER, "replay", NONE),
        ((leaving("replay"),), NONE, "replay", NONE),
        ((), NONE, "stopped", NONE),
        # Told to have pods, which are not seen yet: they come first.
        ((), ALL, "actors", STOPPED_ACTORS),
        # Nothing was ever made: there is nothing to wait for.
        ((), {}, "stopped", NONE),
    ],
)
@pytest.mark.parametrize(
    "made", [SUSPENDED, experiment(latched("Succeeded")), experiment(latched("Failed"))]
)
def test_each_stage_follows_from_what_is_there(made, pods, replicas, expected, wanted):
    observed = seen(pods, replicas)
    assert stage(made, observed) == expected
    assert decide(made, observed).replicas == (replicas if wanted is None else wanted)


def test_a_pod_that_ended_is_not_waited_for():
    # Evicted pods stay in the API server for long.
    evicted = pod("actor", phase="Failed", ready=False, reason="Evicted")
    done = pod("evaluator", phase="Succeeded", ready=False)
    assert stage(SUSPENDED, seen((evicted, done, pod("learner")), STOPPED_ACTORS)) == "learner"


@pytest.mark.parametrize(("seconds", "expected"), [(0, "actors"), (59, "actors"), (61, "learner")])
def test_a_pod_on_a_lost_node_is_waited_for_30_s_after_its_grace_period(seconds, expected):
    observed = seen((leaving("actor"), pod("learner")), STOPPED_ACTORS, now=after(seconds))
    assert stage(SUSPENDED, observed) == expected
    if expected == "actors":
        assert decide(SUSPENDED, observed).recheck_seconds == pytest.approx(60.5 - seconds)


def test_a_lost_replay_pod_that_its_stateful_set_counts_does_not_hold_up_the_end():
    children = workloads(NONE, replay=1)
    observed = seen((leaving("replay"),), children=children)
    assert stage(SUSPENDED, observed) == "replay"
    assert stage(SUSPENDED, replace(observed, now=after(61))) == "stopped"


def test_a_pod_with_a_long_grace_period_gets_all_of_it():
    patient = leaving("learner", leaves=after(600))
    observed = seen((patient, pod("replay")), STOPPED_LEARNER, now=after(599))
    assert stage(SUSPENDED, observed) == "learner"


def test_a_clock_that_was_put_back_by_years_holds_up_nothing():
    observed = seen((leaving("actor"),), STOPPED_ACTORS, now=after(0) - timedelta(days=700))
    assert stage(SUSPENDED, observed) == "learner"


def test_pods_that_a_deployment_still_has_are_waited_for_though_none_is_seen():
    observed = seen((), children=workloads(STOPPED_ACTORS, actor=2))
    assert stage(SUSPENDED, observed) == "actors"


def test_a_workload_of_somebody_else_is_not_waited_for():
    foreign = {("Deployment", "x-actors"): Child(uid="f", owner="other", replicas=3, existing=3)}
    assert stage(SUSPENDED, seen((), children=workloads(NONE) | foreign)) == "stopped"
    ours = {("Deployment", "x-actors"): Child(uid="f", owner=UID, replicas=3, existing=3)}
    assert stage(SUSPENDED, seen((), children=workloads(NONE) | ours)) == "actors"


def test_a_learner_that_does_not_run_is_not_started_to_be_stopped():
    observed = seen((pod("actor"),), {**ALL, "learner": 0})
    assert decide(SUSPENDED, observed).replicas["learner"] == 0


def test_suspending_what_never_started():
    stuck = tuple(pending(role, unschedulable="no node") for role in ALL)
    assert decide(SUSPENDED, seen(stuck, ALL)).replicas == STOPPED_ACTORS
    assert decide(SUSPENDED, seen(())).replicas == NONE
