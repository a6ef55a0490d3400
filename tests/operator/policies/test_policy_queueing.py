"""When a queue lets an experiment run, and when its Workload is made, kept and given up."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from life_tools import ALL, NONE, UID, all_pods, experiment, pod, seen, status_of

from greenroom_operator import names
from greenroom_operator.names import QUEUE, WORKLOAD
from greenroom_operator.observed import Child, QueueEntry
from greenroom_operator.policies import decide
from greenroom_operator.policies.queueing import Report, needs, report

KEY = WORKLOAD, "rlexperiment-x"
COUNTS = {"replay": 1, "learner": 1, "actor": 2, "evaluator": 1}
TERMINAL = {"lastTransitionTime": "2026-11-24T12:00:00Z", "reason": "r", "message": "m"}


def queued(status=None, queue="team", **fields):
    """An experiment that names a queue."""
    made = experiment(status, **fields)
    metadata = made.resource.metadata.model_copy(update={"labels": {QUEUE: queue}})
    return replace(made, resource=made.resource.model_copy(update={"metadata": metadata}))


def place(**fields):
    """A Workload's entry that waits, and asks for what `queued()` needs."""
    return replace(
        QueueEntry(queue="team", inputs=needs(queued().resource), counts=COUNTS), **fields
    )


def held(**fields):
    """One that is admitted."""
    return place(**({"reserved": True, "admitted": "2026-11-24T12:00:00Z"} | fields))


def workload(entry, **fields):
    return {KEY: Child(uid="w", entry=entry, **({"owner": UID} | fields))}


def test_without_a_queue_nothing_is_asked():
    decision = decide(experiment(), seen())
    assert (decision.goal, decision.queued) == ("run", False)
    assert decide(experiment(), seen(children=workload(place()))).queued is False


@pytest.mark.parametrize(
    ("entry", "goal"),
    [
        (None, "queue"),
        (place(), "queue"),
        (place(reserved=True), "queue"),
        (held(), "run"),
        (held(evicted=("Preempted", "by another")), "queue"),
        (held(finished=True), "queue"),
        (held(queue="another"), "queue"),
        (held(inputs="of-less"), "queue"),
    ],
)
def test_it_runs_while_it_is_admitted(entry, goal):
    children = workload(entry) if entry else {}
    decision = decide(queued(), seen(children=children))
    assert decision.goal == goal
    assert decision.replicas == (ALL if goal == "run" else NONE)


def test_a_workload_of_another_lets_nothing_run():
    decision = decide(queued(), seen(children=workload(held(), owner="other")))
    assert decision.goal == "queue"
    leaving = decide(queued(), seen(children=workload(held(), deleting=True)))
    assert leaving.goal == "queue"


def test_as_many_actors_run_as_were_admitted():
    decision = decide(queued(actors=7), seen(children=workload(held())))
    assert decision.replicas["actor"] == 2


def test_other_numbers_are_no_other_needs_but_other_resources_are():
    usual = needs(queued().resource)
    assert needs(queued(actors=9).resource) == usual
    assert needs(queued(image="example.com/mine:v2").resource) == usual
    worker = {"name": "worker", "resources": {"limits": {"nvidia.com/gpu": 1}}}
    template = {"podTemplate": {"spec": {"containers": [worker]}}}
    assert needs(queued(learner=template).resource) != usual
    assert needs(queued(learner={"torchThreads": 4}).resource) != usual
    for pod_spec in (
        {"resources": {"requests": {"cpu": "20"}}},
        {"initContainers": [{"name": "seed", "image": "i", "restartPolicy": "Always"}]},
        {"nodeSelector": {"disk": "fast"}},
    ):
        assert needs(queued(learner={"podTemplate": {"spec": pod_spec}}).resource) != usual
    labelled = {"podTemplate": {"metadata": {"labels": {"team": "a"}}}}
    assert needs(queued(learner=labelled).resource) == usual


def test_a_workload_is_made_when_no_pods_are_left():
    assert decide(queued(), seen()).queued
    assert not decide(queued(), seen(all_pods(), ALL)).queued
    assert not decide(queued(), seen(queueing=False)).queued
    assert not decide(queued(suspend=True), seen()).queued


@pytest.mark.parametrize("made", [queued(suspend=True), queued(queue="another")])
def test_quota_is_held_until_the_last_pod_has_left(made):
    held_now = workload(held())
    assert decide(made, seen(all_pods(), ALL, children=held_now)).queued
    assert decide(made, seen((pod("replay"),), NONE, children=held_now)).queued
    assert not decide(made, seen((), NONE, children=held_now)).queued


def test_one_that_waits_is_told_what_has_changed():
    assert decide(queued(queue="another"), seen(children=workload(place()))).queued


entries = st.builds(
    place,
    reserved=st.booleans(),
    admitted=st.sampled_from(["", "2026-11-24T12:00:00Z"]),
    evicted=st.sampled_from([None, ("Preempted", "")]),
    finished=st.booleans(),
    queue=st.sampled_from(["team", "another"]),
)


@given(
    entry=st.none() | entries,
    suspend=st.booleans(),
    ended=st.sampled_from(["", "Succeeded", "Failed"]),
    roles=st.sets(st.sampled_from(["replay", "learner", "actor", "evaluator"])),
    deleting=st.booleans(),
)
def test_no_pod_runs_without_quota_and_no_quota_goes_before_a_pod(
    entry, suspend, ended, roles, deleting
):
    status = {"conditions": [{"type": ended, "status": "True", **TERMINAL}]} if ended else {}
    children = workload(entry, deleting=deleting) if entry else {}
    pods = tuple(pod(role) for role in sorted(roles))
    replicas = {role: int(role in roles) for role in ALL}
    observed = seen(pods, replicas, children=children)
    made = queued(status, suspend=suspend)
    decision = decide(made, observed)
    if decision.goal == "run":
        assert entry is not None
        assert entry.admitted
        assert entry.evicted is None
        assert not entry.finished
        assert not deleting
    elif roles:
        assert decision.queued == (entry is not None)
    told = report(made, observed, decision.goal, status_of(made, observed))
    if told is not None and roles:
        assert not told.release
        assert [kind for kind, *_ in told.conditions] in (["PodsReady"],)


def told(made, observed):
    return report(made, observed, decide(made, observed).goal, status_of(made, observed))


def test_kueue_is_told_of_the_end_once_all_pods_have_left():
    ended = {"type": "Failed", "status": "True", **TERMINAL}
    made = queued({"conditions": [ended]})
    assert told(made, seen(all_pods(), ALL, children=workload(held()))) is None
    gone = seen((), NONE, children=workload(held()))
    assert told(made, gone) == Report((("Finished", "True", "Failed", "m"),))
    assert told(made, seen((), NONE, children=workload(held(finished=True)))) is None


@pytest.mark.parametrize(("reason", "back"), [("Preempted", "True"), ("Deactivated", "False")])
def test_quota_is_given_back_after_an_eviction(reason, back):
    evicted = workload(held(evicted=(reason, "words")))
    assert told(queued(), seen((pod("learner"),), ALL, children=evicted)) is None
    given_back = told(queued(), seen((), NONE, children=evicted))
    assert given_back is not None
    assert given_back.release
    assert ("Requeued", back, reason, "words") in given_back.conditions
    assert told(queued(), seen(children=workload(place(evicted=(reason, "words"))))) is None


def test_kueue_is_told_whether_pods_are_ready():
    def said(pods, known):
        found = told(queued(), seen(pods, ALL, children=workload(held(pods_ready=known))))
        return found and [condition[:3] for condition in found.conditions]

    later = "2026-11-24T12:00:09Z"
    assert said((), None) is None
    assert said(all_pods(), None) == [("PodsReady", "True", "Started")]
    assert said(all_pods(), ("True", "Started", later)) is None
    assert said((), ("True", "Started", later)) == [("PodsReady", "False", "WaitForRecovery")]
    lost = ("False", "WaitForRecovery", later)
    assert said((), lost) is None
    assert said(all_pods(), lost) == [("PodsReady", "True", "Recovered")]

    # What was said of the time before says nothing of this one, for which Kueue waits anew.
    before = "2026-11-24T11:59:59Z"
    for stale in ("True", "Started", before), ("False", "WaitForRecovery", before):
        assert said((), stale) == [("PodsReady", "False", "WaitForStart")]
    assert said((), ("False", "WaitForStart", before)) is None
    for reason in "WaitForStart", "WaitForRecovery":
        stale = ("False", reason, before)
        assert said(all_pods(), stale) == [("PodsReady", "True", "Started")]


def test_an_eviction_ends_what_was_said_of_readiness():
    evicted = held(evicted=("Preempted", ""), pods_ready=("True", "Started", "2026"))
    given_back = told(queued(), seen((), NONE, children=workload(evicted)))
    assert given_back is not None
    assert ("PodsReady", "False", "WaitForStart") in [one[:3] for one in given_back.conditions]


def test_quota_stays_while_a_controller_may_be_making_pods():
    evicted = workload(held(evicted=("Preempted", "")))
    told_none = seen((), NONE, children=evicted)
    late = {
        key: replace(child, unobserved=key[1] == "x-actors")
        for key, child in told_none.children.items()
    }
    assert told(queued(), told_none) is not None
    assert told(queued(), replace(told_none, children=late)) is None
    suspended = queued(suspend=True)
    assert not decide(suspended, told_none).queued
    assert decide(suspended, replace(told_none, children=late)).queued


def test_the_status_says_what_the_queue_does():
    def phase_and_reason(made, observed):
        status = status_of(made, observed)
        conditions = {each["type"]: each for each in status["conditions"]}
        return status["phase"], conditions[names.ADMITTED]["reason"]

    assert phase_and_reason(queued(), seen(queueing=False)) == ("Queued", "QueueingMissing")
    assert phase_and_reason(queued(), seen(children=workload(place()))) == ("Queued", "Queued")
    assert phase_and_reason(queued(suspend=True), seen()) == ("Suspended", "NotQueued")
    running = seen(all_pods(), ALL, children=workload(held()))
    assert phase_and_reason(queued(), running) == ("Running", "Admitted")
    assert phase_and_reason(queued(actors=3), running) == ("Running", "ScalingRefused")
    leaving = seen(all_pods(), ALL, children=workload(held(evicted=("Preempted", ""))))
    assert phase_and_reason(queued(), leaving) == ("Suspending", "Evicted")
    # Kueue says so until it is admitted again; but it waits as any other does.
    back = seen(children=workload(place(evicted=("Preempted", ""), words="no quota")))
    assert phase_and_reason(queued(), back) == ("Queued", "Queued")
    put_off = seen(children=workload(place(evicted=("Deactivated", ""))))
    assert phase_and_reason(queued(), put_off) == ("Queued", "Evicted")
    other = seen(all_pods(), ALL, children=workload(held(inputs="of-less")))
    assert phase_and_reason(queued(), other) == ("Suspending", "Requeued")
