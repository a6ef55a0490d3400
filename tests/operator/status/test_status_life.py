"""What a status says over an experiment's life, and what of it is latched."""

from dataclasses import replace

import pytest
from life_tools import (
    ALL,
    NONE,
    after,
    all_pods,
    broken,
    condition,
    experiment,
    latched,
    leaving,
    pending,
    pod,
    progress,
    running_status,
    saved,
    seen,
    status_of,
)

from greenroom_operator.settings import PlanOptions
from greenroom_operator.status import invalid_status, resolve_images
from greenroom_operator.stored import condition as stored_condition

STOPPED_ACTORS = {**ALL, "actor": 0, "evaluator": 0}
STOPPED_LEARNER = {**STOPPED_ACTORS, "learner": 0}


def test_an_experiment_starts_once_all_that_training_needs_is_ready():
    first = status_of(experiment(), seen())
    assert "startTime" not in first
    waits = experiment(first)
    assert "startTime" not in status_of(waits, seen((pod("replay"), pod("learner"))))
    one_actor = (pod("replay"), pod("learner"), pod("actor"))
    started = status_of(waits, seen(one_actor, now=after(7)))
    assert started["startTime"] == "2026-11-24T12:00:07Z"
    assert condition(started, "Ready")[0] == "True"
    assert stored_condition(started, "Ready")["lastTransitionTime"] == "2026-11-24T12:00:07Z"
    later = status_of(experiment(started), seen((), now=after(60)))
    assert later["startTime"] == started["startTime"]


def test_a_run_that_ends_before_all_its_pods_are_seen_ready_has_started():
    observed = seen((pod("learner"),), now=after(7), progress=progress("finished", 6))
    status = status_of(experiment(status_of(experiment(), seen())), observed)
    assert status["startTime"] == "2026-11-24T12:00:07Z"
    starting = seen((pod("learner"),), now=after(7), progress=progress("starting", 6))
    assert "startTime" not in status_of(experiment(), starting)


def test_all_conditions_are_there_from_the_beginning():
    conditions = status_of(experiment(generation=3), seen())["conditions"]
    assert [entry["type"] for entry in conditions] == [
        "Ready",
        "Progressing",
        "Suspended",
        "Succeeded",
        "Failed",
        "ReplayStalled",
    ]
    assert {entry["observedGeneration"] for entry in conditions} == {3}


def test_the_time_of_a_condition_is_that_of_a_change_of_its_status():
    first = running_status()
    stuck = seen(all_pods(2, pending("actor", unschedulable="full")), ALL, now=after(60))
    second = status_of(experiment(first), stuck)
    assert stored_condition(second, "Progressing")["lastTransitionTime"] == "2026-11-24T12:01:00Z"
    crashed = replace(stuck, pods=all_pods(2, broken("actor", exit_code=1)), now=after(90))
    third = status_of(experiment(second), crashed)
    assert condition(third, "Progressing")[1] == "ContainerCrashed"
    assert stored_condition(third, "Progressing")["lastTransitionTime"] == "2026-11-24T12:01:00Z"
    assert stored_condition(third, "Ready")["lastTransitionTime"] == "2026-11-24T12:00:00Z"


def test_a_time_in_the_future_is_brought_back():
    first = running_status()
    back = status_of(experiment(first), seen(all_pods(), ALL, now=after(-3600)))
    assert stored_condition(back, "Ready")["lastTransitionTime"] == "2026-11-24T11:00:00Z"


@pytest.mark.parametrize("role", ["learner", "replay"])
def test_what_ran_and_does_not_is_degraded(role):
    status = status_of(experiment(running_status()), seen(all_pods(2, pending(role)), ALL))
    assert status["phase"] == "Degraded"
    assert condition(status, "Ready") == ("False", "NotReady", "pods are starting")


def test_success_is_latched_with_the_learner_s_words():
    finished = progress(
        "finished",
        detail="environment steps 200,000 of 200,000",
        environment_steps=200_000,
        checkpoint=saved(final=True, steps=200_000),
    )
    observed = seen(all_pods(), ALL, now=after(60), progress=finished)
    status = status_of(experiment(running_status()), observed)
    ended = ("True", "StopConditionMet", "environment steps 200,000 of 200,000")
    assert condition(status, "Succeeded") == ended
    assert (status["phase"], status["completionTime"]) == ("Succeeded", "2026-11-24T12:01:00Z")
    assert condition(status, "Failed")[0] == "False"
    assert status["checkpoint"] == {
        "environmentSteps": 200_000,
        "learnerSteps": 20_000,
        "time": "2026-11-24T12:00:00Z",
        "final": True,
        "location": "pvc/x-learner",
    }
    # Whatever comes afterwards.
    for observed in (
        seen((), NONE, now=after(900)),
        seen(all_pods(2, broken("learner", exit_code=3)), ALL, now=after(1000)),
        seen((broken("learner", restarts=99),), progress=progress("training"), now=after(1000)),
    ):
        status = status_of(experiment(status, suspend=True), observed)
        assert condition(status, "Succeeded") == ended
        assert (status["phase"], status["completionTime"]) == ("Succeeded", "2026-11-24T12:01:00Z")
        assert condition(status, "Failed")[0] == "False"
        assert condition(status, "Suspended")[0] == "False"
        assert status["failures"] == 0
        assert status["environmentSteps"] == 200_000


def test_a_lost_status_of_a_finished_learner_is_said_again():
    finished = progress("finished", checkpoint=saved(final=True))
    status = status_of(experiment(), seen((pod("learner"),), STOPPED_ACTORS, progress=finished))
    assert condition(status, "Succeeded")[0] == "True"


def test_a_failure_tells_its_cause_while_pods_leave_and_after_that():
    diverged = broken("learner", exit_code=3, exit_message="error: the loss is nan\n")
    status = status_of(experiment(running_status()), seen(all_pods(2, diverged), ALL))
    message = "learner ended with exit code 3: error: the loss is nan"
    assert condition(status, "Failed") == ("True", "CannotGoOn", message)
    assert condition(status, "Ready") == (
        "False",
        "StoppingActors",
        "waiting for actors and evaluator to leave",
    )
    assert condition(status, "Progressing")[:2] == ("True", "StoppingActors")
    gone = status_of(experiment(status), seen((), NONE))
    assert condition(gone, "Failed") == ("True", "CannotGoOn", message)
    assert condition(gone, "Progressing") == ("False", "Failed", message)


def test_the_stages_of_a_suspension():
    status = running_status(progress=progress(checkpoint=saved(final=False)))
    last = progress("stopped", 4, environment_steps=1_200, checkpoint=saved(final=True, steps=1200))
    stages = [
        ((leaving("actor"), pod("learner"), pod("replay")), STOPPED_ACTORS, "StoppingActors"),
        ((leaving("learner"), pod("replay")), STOPPED_LEARNER, "StoppingLearner"),
        ((leaving("replay"),), NONE, "StoppingReplay"),
    ]
    for number, (pods, replicas, reason) in enumerate(stages):
        observed = seen(pods, replicas, now=after(number), progress=last if number else None)
        status = status_of(experiment(status, suspend=True, generation=2), observed)
        assert status["phase"] == "Suspending"
        assert condition(status, "Suspended")[:2] == ("False", reason)
        assert condition(status, "Progressing")[:2] == ("True", reason)
    suspended = experiment(status, suspend=True, generation=2)
    status = status_of(suspended, seen((), NONE, now=after(9), progress=last))
    assert status["phase"] == "Suspended"
    assert condition(status, "Suspended") == (
        "True",
        "CheckpointRecorded",
        "the learner saved its last checkpoint at 1,200 environment steps and 120 learner steps",
    )
    assert condition(status, "Progressing") == (
        "False",
        "Suspended",
        "all pods have left, volumes are kept",
    )
    assert status["actors"]["desired"] == 0
    assert "environmentStepsPerSecond" not in status


def test_a_suspension_without_a_last_word_says_what_is_known():
    status = running_status(progress=progress(checkpoint=saved(final=False)))
    status = status_of(experiment(status, suspend=True), seen((), NONE))
    assert condition(status, "Suspended") == (
        "True",
        "CheckpointMissed",
        "the learner left without a word of its last checkpoint; the newest known is at 1,000 "
        "environment steps and 100 learner steps",
    )
    unknown = status_of(experiment(running_status(), suspend=True), seen((), NONE))
    assert condition(unknown, "Suspended")[2].endswith("; none is known")


def test_suspended_before_anything_ran():
    stuck = tuple(pending(role, unschedulable="full") for role in ALL)
    status = status_of(experiment(), seen(stuck, ALL))
    status = status_of(experiment(status, suspend=True), seen((), NONE))
    assert condition(status, "Suspended") == ("True", "NotStarted", "no learner has run yet")
    assert condition(status_of(experiment(suspend=True), seen()), "Suspended")[0] == "True"


def test_a_checkpoint_is_final_until_a_learner_runs_again():
    last = progress("stopped", checkpoint=saved(final=True))
    status = running_status(progress=progress(checkpoint=saved(final=False)))
    status = status_of(experiment(status, suspend=True), seen((), NONE, progress=last))
    # Resumed, and suspended again before a learner runs: nothing is missed.
    waits = seen((pending("learner", 1),), ALL, progress=last)
    resumed = status_of(experiment(status), waits)
    again = status_of(experiment(resumed, suspend=True), seen((), NONE, progress=last))
    assert condition(again, "Suspended")[1] == "CheckpointRecorded"
    # Resumed by a learner that the operator sees, but does not hear.
    runs = seen((pod("learner", 1),), ALL, progress=last)
    resumed = status_of(experiment(status), runs)
    assert resumed["checkpoint"]["final"] is False
    again = status_of(experiment(resumed, suspend=True), seen((), NONE))
    assert condition(again, "Suspended")[1] == "CheckpointMissed"


def test_a_last_word_outlives_the_operator():
    last = progress("stopped", checkpoint=saved(final=True))
    suspended = experiment(running_status(), suspend=True)
    heard = status_of(suspended, seen((leaving("learner"),), STOPPED_LEARNER, progress=last))
    restarted = seen((leaving("learner"),), STOPPED_LEARNER)
    status = status_of(experiment(heard, suspend=True), restarted)
    assert status["checkpoint"]["final"] is True


def test_a_pod_on_a_lost_node_is_named_while_its_experiment_stops():
    suspended = experiment(running_status(), suspend=True)
    observed = seen((leaving("actor"), leaving("learner")), STOPPED_LEARNER, now=after(40))
    observed = replace(observed, pods=(leaving("actor", leaves=after(0)), *observed.pods[1:]))
    assert condition(status_of(suspended, observed), "Suspended") == (
        "False",
        "StoppingLearner",
        "waiting for the learner to save and leave; x-actors-0 should have left: its node may be "
        "gone, and nobody waits for it",
    )


def test_what_the_api_server_refuses_is_told_while_suspended_too():
    refused = {("PersistentVolumeClaim", "x-learner"): "spec is immutable"}
    status = status_of(experiment(suspend=True), seen((), NONE, refused=refused))
    assert status["phase"] == "Suspended"
    assert condition(status, "Progressing") == (
        "False",
        "ChildRefused",
        "PersistentVolumeClaim x-learner was refused: spec is immutable",
    )


def test_what_the_controller_puts_in_is_kept():
    kept = {"images": {"worker": "w", "replay": "r"}, "tokenSecret": "x-token"}
    status = status_of(experiment(kept), seen())
    assert {name: status[name] for name in kept} == kept


@pytest.mark.parametrize(
    ("image", "before", "worker", "replay"),
    [
        (None, {}, "new-worker", "new-replay"),
        (None, {"worker": "old-worker", "replay": "old-replay"}, "old-worker", "old-replay"),
        ("mine", {"worker": "old-worker", "replay": "old-replay"}, "mine", "old-replay"),
        ("mine", {}, "mine", "new-replay"),
    ],
)
def test_images_are_resolved_once(image, before, worker, replay):
    options = PlanOptions(worker_image="new-worker", replay_image="new-replay")
    made = experiment({"images": before}, **({"image": image} if image else {}))
    assert resolve_images(made, options) == {"worker": worker, "replay": replay}


@pytest.mark.parametrize(
    ("previous", "ready", "phase"),
    [({}, "False", "Pending"), (running_status(), "Unknown", "Degraded")],
)
def test_a_spec_that_cannot_be_read_is_told(previous, ready, phase):
    status = invalid_status(previous, 5, "spec.agent: no\nsuch agent", after(9))
    words = ("InvalidExperiment", "spec.agent: no such agent")
    assert condition(status, "Ready") == (ready, *words)
    assert condition(status, "Progressing") == ("False", *words)
    assert (status["phase"], status["observedGeneration"]) == (phase, 5)
    assert invalid_status(status, 5, "spec.agent: no\nsuch agent", after(99)) == status


def test_an_end_stands_though_its_spec_cannot_be_read_any_more():
    ended = latched("Succeeded")
    assert invalid_status(ended, 5, "no", after(9)) == ended
