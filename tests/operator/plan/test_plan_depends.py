"""What a plan is made of: the operator makes none anew while that is the same (`Compared`)."""

from dataclasses import fields, replace
from datetime import timedelta

import pytest
from plan_tools import NOW, OPTIONS, experiment, running

from greenroom_operator.observed import Child, Decision, Observed, Pod, Progress, Silence, Source
from greenroom_operator.plan import plan

MADE = replace(
    experiment(resumeFrom={"experiment": "other"}),
    status={"images": {"worker": "example.com/w:1", "replay": "example.com/r:1"}},
)
CHILDREN = {("PersistentVolumeClaim", "cartpole-learner"): Child(uid="claim", storage="20Gi")}
PODS = (Pod("cartpole-learner-0", "uid-0", "learner", phase="Running", ready=True),)
SEEN = {
    "now": NOW + timedelta(days=400),
    "pods": PODS,
    "progress": Progress(NOW, "uid-0", "finished", environment_steps=7, learner_steps=3),
    "silence": Silence(NOW, "connection refused"),
    "source": Source("other-learner", exists=False, users=("one",)),
    "refused": {("Service", "cartpole-replay"): "quota exceeded"},
    "queueing": False,
    # But for an experiment that is queued, below.
    "priority": ("high", 9),
}
DECIDED = {"goal": "fail", "delete": True, "recheck_seconds": 1.0, "poll_seconds": 2.0}
STATUS = {
    "phase": "Degraded",
    "failures": 3,
    "learnerSteps": 9,
    "startTime": "2026-11-24T12:00:00Z",
    "actors": {"desired": 9, "ready": 2},
    "checkpoint": {"environmentSteps": 5, "learnerSteps": 2, "final": True},
}


def planned(made=MADE, decision=None, **seen):
    return plan(
        made,
        decision or running(made),
        Observed(**{"now": NOW, "children": CHILDREN} | seen),
        OPTIONS,
    )


def test_all_fields_are_looked_at_here():
    assert {field.name for field in fields(Observed)} == SEEN.keys() | {"children"}
    assert {field.name for field in fields(Decision)} == DECIDED.keys() | {"replicas", "queued"}


@pytest.mark.parametrize("name", SEEN)
def test_of_what_is_seen_it_depends_on_children_alone(name):
    assert planned(**{name: SEEN[name]}) == planned()


@pytest.mark.parametrize("name", DECIDED)
def test_of_what_was_decided_it_depends_on_replicas_alone(name):
    assert planned(decision=replace(running(MADE), **{name: DECIDED[name]})) == planned()


@pytest.mark.parametrize("name", STATUS)
def test_of_the_status_it_depends_on_images_and_on_whether_the_learner_ran(name):
    made = replace(MADE, status=dict(MADE.status) | {name: STATUS[name]})
    assert planned(made) == planned()


def test_of_a_queued_one_it_depends_on_the_priority_too():
    labels = {"kueue.x-k8s.io/queue-name": "team"}
    metadata = MADE.resource.metadata.model_copy(update={"labels": labels})
    made = replace(MADE, resource=MADE.resource.model_copy(update={"metadata": metadata}))
    queued = replace(running(made), queued=True)
    admission = {"podSets": [{"name": "learner", "nodeSelector": {"pool": "gpus"}}]}
    admitted = replace(made, status=dict(made.status) | {"admission": admission})
    plans = [
        planned(made),
        planned(made, queued),
        planned(made, queued, priority=("high", 9)),
        planned(admitted, queued),
    ]
    assert all(one != other for i, one in enumerate(plans) for other in plans[:i])


def test_what_is_compared_makes_another_plan():
    learner_ran = replace(MADE, status=dict(MADE.status) | {"environmentSteps": 1})
    other_images = {"worker": "example.com/w:2", "replay": "example.com/r:1"}
    others = [
        planned(learner_ran),
        planned(replace(MADE, status={"images": other_images})),
        planned(replace(MADE, uid="another")),
        planned(decision=replace(running(MADE), replicas={**running(MADE).replicas, "actor": 7})),
        planned(children={}),
    ]
    assert all(other != planned() for other in others)
