"""What users read of pods that do not work: the cause, for how many of them."""

from dataclasses import replace

import pytest
from life_tools import (
    ALL,
    after,
    all_pods,
    broken,
    claim,
    condition,
    experiment,
    pending,
    pod,
    seen,
    status_of,
)

from greenroom_operator.observed import Child

NO_CPU = "0/5 nodes are available: 5 Insufficient cpu."
VICTIMS = "preemption: 0/5 nodes are available: 5 No preemption victims found."
PREEMPTION = f"{NO_CPU} {VICTIMS}"
NOT_FOUND = 'failed to resolve reference "example.com/a:1": example.com/a:1: not found'
PULL = (
    'Back-off pulling image "example.com/a:1": ErrImagePull: rpc error: code = NotFound desc = '
    f"{NOT_FOUND}"
)
TRACE = 'Traceback (most recent call last):\n  File "a.py"\nValueError: no such level: 7\n\n'
QUOTA = 'pods "x-actors-7d" is forbidden: exceeded quota: team, requested: cpu=1, used: cpu=4'


CASES = [
    (
        all_pods(
            8,
            pending("learner", 0, unschedulable=f"{NO_CPU} no new claims to deallocate, {VICTIMS}"),
        ),
        {},
        "Unschedulable",
        f"learner Unschedulable: {NO_CPU}",
    ),
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
