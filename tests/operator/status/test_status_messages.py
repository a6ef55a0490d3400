"""What users read: what takes its time, who is waited for, a learner that is silent."""

from dataclasses import replace

import pytest
from life_tools import (
    ALL,
    NONE,
    UID,
    after,
    all_pods,
    broken,
    claim,
    condition,
    experiment,
    leaving,
    pending,
    pod,
    progress,
    running_status,
    seen,
    status_of,
    workloads,
)

from greenroom_operator.observed import Child, Silence
from greenroom_operator.words import LIMIT


@pytest.mark.parametrize(
    ("state", "told"), [("Pending", "VolumePending"), ("Bound", "Unschedulable")]
)
def test_volumes_that_are_just_being_made_are_no_trouble(state, told):
    # The scheduler may say so still when the claim is bound already.
    words = "pod has unbound immediate PersistentVolumeClaims."
    pods = all_pods(2, pending("learner", unschedulable=words))
    made = experiment()
    for seconds, reason in ((0, "Starting"), (10, "Starting"), (16, told)):
        observed = seen(pods, now=after(seconds), children=claim("x-learner", state))
        made = replace(made, status=status_of(made, observed))
        assert condition(made.status, "Progressing")[1] == reason


def test_patience_begins_anew_where_a_suspension_ends():
    words = "pod has unbound immediate PersistentVolumeClaims."
    pods = all_pods(2, pending("learner", unschedulable=words))
    made = experiment(suspend=True)
    made = replace(made, status=status_of(made, seen((), NONE)))
    assert condition(made.status, "Suspended")[0] == "True"
    made = replace(experiment(), status=made.status)
    for seconds, reason in ((900, "Starting"), (910, "Starting"), (916, "VolumePending")):
        observed = seen(pods, now=after(seconds), children=claim("x-learner", "Pending"))
        made = replace(made, status=status_of(made, observed))
        assert condition(made.status, "Progressing")[1] == reason


@pytest.mark.parametrize(
    "fine",
    [
        pending("learner"),  # its image is pulled, its container made
        broken("learner"),  # it runs, and is not ready yet
        broken("learner", exit_code=0, restarts=1),
        leaving("learner", exit_code=1, restarts=3),
        pod("learner", exit_code=1, restarts=3),  # it works again
    ],
)
def test_what_takes_its_time_is_no_trouble(fine):
    status = status_of(experiment(), seen(all_pods(2, fine)))
    assert condition(status, "Progressing")[0] == "True"


def test_a_crash_reads_the_same_all_the_way_round():
    """A container starts, fails, waits, and starts: one condition, no writes in between."""
    end = {"restarts": 3, "exit_code": 1, "exit_message": "no"}
    runs, waits = broken("learner", **end), broken("learner", waiting="CrashLoopBackOff", **end)
    made = experiment()
    first = status_of(made, seen(all_pods(2, runs)))
    assert status_of(experiment(first), seen(all_pods(2, waits), now=after(300))) == first


def test_a_start_is_silent_first_and_then_names_whom_it_waits_for():
    made = experiment()
    first = status_of(made, seen())
    assert condition(first, "Ready") == ("False", "Starting", "pods are starting")
    assert first["phase"] == "Pending"
    soon = seen((pod("replay"), broken("learner")), now=after(14))
    later = replace(soon, now=after(16))
    assert condition(status_of(experiment(first), soon), "Ready") == condition(first, "Ready")
    named = status_of(experiment(first), later)
    words = "waiting for learner, actors and evaluator to become ready"
    assert condition(named, "Ready") == ("False", "Starting", words)
    assert condition(named, "Progressing") == ("True", "Starting", words)


def test_what_no_pod_can_tell_is_told_of_workloads():
    first = status_of(experiment(), seen())
    children = workloads(ALL)
    gone = ("PersistentVolumeClaim", "x-learner")
    children[gone] = Child(uid="c", owner=UID, deleting=True)
    observed = replace(seen(all_pods(2)[:-1], now=after(16)), children=children)
    status = status_of(experiment(first), observed)
    words = condition(status, "Progressing")[2]
    assert words.startswith("waiting for replay to become ready; ")
    assert "PersistentVolumeClaim x-learner is still being deleted" in words
    assert "StatefulSet x-replay has made no pod; its events may tell why" in words
    assert "Deployment" not in words


def test_more_actors_are_waited_for_while_training_goes_on():
    before = running_status()
    grown = experiment(before, actors=4, generation=2)
    status = status_of(grown, seen(all_pods(2), ALL, now=after(60)))
    assert condition(status, "Ready")[0] == "True"
    assert condition(status, "Progressing") == (
        "True",
        "NotReady",
        "waiting for actors to become ready",
    )
    assert status["actors"] == {
        "desired": 4,
        "replicas": 2,
        "ready": 2,
        "selector": "greenroom.dev/experiment=x,greenroom.dev/role=actor",
    }


def test_a_silent_learner_is_told_of_once():
    silence = Silence(after(0), "Connection timed out")
    message = "learner does not answer: Connection timed out"

    def later(seconds, status, **known):
        observed = seen(all_pods(), ALL, now=after(seconds), **known)
        return status_of(experiment(status), observed)

    status = later(29, running_status(), silence=silence, progress=progress())
    assert condition(status, "Progressing")[0] == "True"

    silent = later(31, status, silence=silence, progress=progress())
    assert condition(silent, "Progressing") == ("Unknown", "LearnerSilent", message)
    assert condition(silent, "ReplayStalled") == ("Unknown", "LearnerSilent", message)
    assert condition(silent, "Ready")[0] == "True"  # its probe says so
    assert silent["phase"] == "Degraded"

    refused = Silence(after(0), "Connection refused")
    for seconds in (61, 601, 86_401):
        assert later(seconds, silent, silence=refused, progress=progress()) == silent
    # Also an operator that has begun anew, before it has asked and after it has in vain.
    assert later(700, silent) == silent
    assert later(715, silent, silence=Silence(after(715), "Connection refused")) == silent

    # What somebody made of the words fits nevertheless, or is made anew.
    for message, words in (("a" * 2 * LIMIT, "a" * (LIMIT - 1) + "…"), (None, refused.error)):
        stalled = {"type": "ReplayStalled", "reason": "LearnerSilent", "message": message}
        edited = silent | {"conditions": [stalled]}
        told = condition(later(900, edited, silence=refused), "ReplayStalled")
        assert told[1] == "LearnerSilent"
        assert told[2].endswith(words)

    answered = later(730, silent, progress=progress("training", 730, environment_steps=9_000))
    assert condition(answered, "Progressing")[0] == "True"
    assert condition(answered, "ReplayStalled")[0] == "False"


def test_a_learner_that_hangs_is_silent_and_one_that_starts_is_not():
    silence = Silence(after(0), "no answer in 5 s")
    hangs = pod("learner", ready=False)
    for spoke, reason in ((progress(), "LearnerSilent"), (None, "NotReady")):
        observed = seen(all_pods(2, hangs), ALL, now=after(40), silence=silence, progress=spoke)
        status = status_of(experiment(running_status()), observed)
        assert condition(status, "Progressing")[1] == reason
        assert condition(status, "Ready")[:2] == ("False", reason)


def test_a_learner_that_is_down_is_not_said_to_be_silent():
    silence = Silence(after(0), "Connection refused")
    crashed = broken("learner", restarts=2, exit_code=1, exit_message="no")
    observed = seen(all_pods(2, crashed), now=after(100), silence=silence, progress=progress())
    status = status_of(experiment(running_status(progress=progress())), observed)
    assert condition(status, "Progressing")[1] == "CrashLoopBackOff"
    assert condition(status, "ReplayStalled") == ("False", "NotTraining", "no learner trains")


def test_messages_are_bounded_on_one_line():
    endless = "word\n " * 5_000
    pods = all_pods(
        8,
        *(
            pending("actor", number, waiting=f"Reason{number}", waiting_message=endless)
            for number in range(8)
        ),
        pending("learner", unschedulable=endless),
        broken("replay", exit_code=1, exit_message=endless),
    )
    status = status_of(experiment(actors=8), seen(pods, refused={("Service", "x"): endless}))
    for entry in status["conditions"]:
        assert len(entry["message"]) <= LIMIT
        assert "\n" not in entry["message"]
    failed = broken("learner", exit_code=3, exit_message="x" * 5_000)
    status = status_of(experiment(), seen((failed,)))
    assert len(condition(status, "Failed")[2]) <= LIMIT
