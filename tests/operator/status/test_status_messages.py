"""What users read: pods' states, and the condition that each of them becomes."""

from dataclasses import replace

import pytest
from life_tools import (
    ALL,
    UID,
    after,
    all_pods,
    broken,
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

NO_CPU = "0/5 nodes are available: 5 Insufficient cpu."
PREEMPTION = f"{NO_CPU} preemption: 0/5 nodes are available: 5 No preemption victims found."
NOT_FOUND = 'failed to resolve reference "example.com/a:1": example.com/a:1: not found'
PULL = f'Back-off pulling image "example.com/a:1": ErrImagePull: rpc error: code = NotFound desc = {NOT_FOUND}'  # noqa: E501
TRACE = 'Traceback (most recent call last):\n  File "a.py"\nValueError: no such level: 7\n\n'
QUOTA = 'pods "x-actors-7d" is forbidden: exceeded quota: team, requested: cpu=1, used: cpu=4'


def claim(name, phase):
    return {("PersistentVolumeClaim", name): Child(uid="c", bound=phase)}


CASES = [
    # actors: how many of how many
    (
        all_pods(8, *(pending("actor", number, unschedulable=PREEMPTION) for number in range(3))),
        {},
        "Unschedulable",
        f"3/8 actors Unschedulable: {NO_CPU}",
    ),
    (
        all_pods(
            8,
            pending("actor", 0, waiting="ImagePullBackOff", waiting_message=PULL),
            pending("actor", 1, unschedulable=NO_CPU),
            pending("actor", 2, unschedulable=NO_CPU),
        ),
        {},
        "Unschedulable",
        f"2/8 actors Unschedulable: {NO_CPU}; 1/8 actors ImagePullBackOff: {NOT_FOUND}",
    ),
    (
        all_pods(8, broken("actor", restarts=4, exit_code=137, exit_reason="OOMKilled")),
        {},
        "OOMKilled",
        "1/8 actors were OOMKilled; their memory limit is in spec.actors.podTemplate",
    ),
    (
        all_pods(8, broken("actor", 1, restarts=4, exit_code=1, exit_message=TRACE)),
        {},
        "CrashLoopBackOff",
        "1/8 actors CrashLoopBackOff: exit code 1: ValueError: no such level: 7",
    ),
    (
        all_pods(5),
        {"children": {("Deployment", "x-actors"): Child(uid="d", failure=QUOTA)}},
        "FailedCreate",
        f"3/8 actors cannot be created: {QUOTA}",
    ),
    # images
    (
        all_pods(8, pending("learner", waiting="ImagePullBackOff", waiting_message=PULL)),
        {},
        "ImagePullBackOff",
        f"learner ImagePullBackOff: {NOT_FOUND}",
    ),
    (
        all_pods(
            8,
            pending(
                "learner",
                waiting="ErrImagePull",
                waiting_message=f"rpc error: code = NotFound desc = {NOT_FOUND}",
            ),
        ),
        {},
        "ImagePullBackOff",
        f"learner ImagePullBackOff: {NOT_FOUND}",
    ),
    (
        all_pods(
            8,
            pending(
                "learner",
                waiting="ImagePullBackOff",
                waiting_message='Back-off pulling image "example.com/a:1"',
            ),
        ),
        {},
        "ImagePullBackOff",
        "learner ImagePullBackOff: image example.com/a:1 cannot be pulled",
    ),
    (
        all_pods(
            8,
            pending(
                "evaluator",
                waiting="InvalidImageName",
                waiting_message='Failed to apply default image tag "A": invalid reference format',
            ),
        ),
        {},
        "InvalidImageName",
        'evaluator InvalidImageName: Failed to apply default image tag "A": invalid reference '
        "format",
    ),
    # crashes
    (
        all_pods(8, broken("learner", restarts=3, exit_code=137, exit_reason="OOMKilled")),
        {},
        "OOMKilled",
        "learner was OOMKilled, 3 restarts; its memory limit is in spec.learner.podTemplate",
    ),
    (
        all_pods(
            8,
            broken(
                "replay",
                restarts=5,
                waiting="CrashLoopBackOff",
                waiting_message="back-off 2m40s restarting failed container=worker",
                exit_code=1,
                exit_reason="Error",
                exit_message=TRACE,
            ),
        ),
        {},
        "CrashLoopBackOff",
        "replay CrashLoopBackOff: exit code 1, 5 restarts: ValueError: no such level: 7",
    ),
    (
        all_pods(8, broken("learner", restarts=1, exit_code=139)),
        {},
        "ContainerCrashed",
        "learner ContainerCrashed: exit code 139 (SIGSEGV), 1 restart",
    ),
    (
        all_pods(
            8,
            pending(
                "learner",
                waiting="CreateContainerConfigError",
                waiting_message='secret "x-token" not found',
            ),
        ),
        {},
        "CreateContainerConfigError",
        'learner CreateContainerConfigError: secret "x-token" not found',
    ),
    # nodes
    (
        tuple(
            sorted(
                (
                    *(one for one in all_pods(8) if one.role != "learner"),
                    pod(
                        "learner",
                        phase="Failed",
                        ready=False,
                        reason="Evicted",
                        message="The node was low on resource: memory.",
                    ),
                    pending("learner", 1),
                ),
                key=lambda one: one.name,
            )
        ),
        {},
        "Evicted",
        "learner Evicted: The node was low on resource: memory.",
    ),
    # volumes
    (
        all_pods(
            8, pending("learner", unschedulable="pod has unbound immediate PersistentVolumeClaims.")
        ),
        {"children": claim("x-learner", "Pending")},
        "VolumePending",
        "learner cannot run: volume claim x-learner is Pending: pod has unbound immediate "
        "PersistentVolumeClaims.",
    ),
    (
        all_pods(8, pending("replay", unschedulable="0/5 nodes have the volume")),
        {"children": claim("data-x-replay-0", "Lost")},
        "VolumeLost",
        "replay cannot run: volume claim data-x-replay-0 is Lost: 0/5 nodes have the volume",
    ),
    (
        # The claim waits for a node that the scheduler does not find for want of cpu.
        all_pods(8, pending("learner", unschedulable=NO_CPU)),
        {"children": claim("x-learner", "Pending")},
        "Unschedulable",
        f"learner Unschedulable: {NO_CPU}",
    ),
    # several at once: the data's side first
    (
        all_pods(
            8,
            pending("replay", unschedulable=NO_CPU),
            broken("learner", restarts=1, exit_code=1, exit_message="replay is not there"),
        ),
        {},
        "Unschedulable",
        f"replay Unschedulable: {NO_CPU}; "
        "learner ContainerCrashed: exit code 1, 1 restart: replay is not there",
    ),
    # what the API server does not take stands above all
    (
        all_pods(8, pending("learner", unschedulable=NO_CPU)),
        {"refused": {("Deployment", "x-actors"): "admission webhook denied the request"}},
        "ChildRefused",
        "Deployment x-actors was refused: admission webhook denied the request; "
        f"learner Unschedulable: {NO_CPU}",
    ),
    # no reason for a condition's reason
    (
        all_pods(8, pending("learner", waiting="odd reason", waiting_message="who knows")),
        {},
        "PodNotReady",
        "learner PodNotReady: odd reason: who knows",
    ),
]


@pytest.mark.parametrize(("pods", "fields", "reason", "message"), CASES)
def test_what_pods_suffer_from_is_what_people_read(pods, fields, reason, message):
    made = experiment(actors=8)
    made = replace(made, status=status_of(made, seen()))
    status = status_of(made, seen(pods, now=after(60), **fields))
    assert condition(status, "Progressing") == ("False", reason, message)
    works = all(any(one.ready and one.role == role for one in pods) for role in list(ALL)[:3])
    assert condition(status, "Ready")[0] == ("True" if works else "False")
    if works:
        # It stands in the column MESSAGE, beside Degraded.
        assert condition(status, "Ready")[2].endswith(f"are ready; {message}")
    else:
        assert condition(status, "Ready")[1:] == (reason, message)
    assert status["phase"] == ("Degraded" if works else "Pending")


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
