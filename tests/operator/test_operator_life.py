"""What an experiment goes through, with real roles: each pod is a process of this machine."""

import signal

import living as life
import pytest
from living import SECONDS
from operating import condition, events, eventually, status

# On a busy machine real roles and control planes take their time to start.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture
def operator(make_operator, agent):
    """An operator that asks learners itself, on the node's network."""
    return make_operator(*life.FLAGS).wait_leading()


def test_an_experiment_is_scaled_suspended_resumed_and_succeeds(operator, kubectl, agent):
    life.apply(kubectl, "x")
    shown = {"learnerSteps", "environmentStepsPerSecond", "learnerStepsPerSecond", "startTime"}
    shown |= {"environmentSteps", "episodeReturn", "samplesPerInsert"}
    begun = eventually(lambda: status(kubectl, "x"), lambda seen: shown <= seen.keys(), SECONDS)
    learner = life.pod(kubectl, "x", "learner")["metadata"]["uid"]

    kubectl("scale", "rlx/x", "--replicas=2")
    eventually(lambda: status(kubectl, "x")["actors"], lambda seen: seen["ready"] == 2, SECONDS)
    more = life.steps_beyond(kubectl, "x", begun["environmentSteps"])
    assert life.pod(kubectl, "x", "learner")["metadata"]["uid"] == learner

    recorded = suspended(kubectl, "x")["checkpoint"]
    assert recorded["final"]
    assert recorded["environmentSteps"] >= more["environmentSteps"]
    assert condition(kubectl, "x", "Suspended")[:2] == ("True", "CheckpointRecorded")

    life.patch(kubectl, "x", '{"suspend": false}')
    resumed = life.phase(kubectl, "x", "Running")
    assert resumed["environmentSteps"] >= recorded["environmentSteps"]
    found = f"restored replay belongs to learner step {recorded['learnerSteps']}"
    # Replay asks the learner once a second.
    eventually(lambda: agent.logs("x-replay"), lambda said: found in said, SECONDS)
    life.steps_beyond(kubectl, "x", recorded["environmentSteps"])

    life.patch(kubectl, "x", f'{{"stop": {{"environmentSteps": {more["environmentSteps"]}}}}}')
    ended(kubectl, "x")
    assert status(kubectl, "x")["failures"] == 0
    begin_from(kubectl, "x", agent)


def suspended(kubectl, name):
    """Suspend; return the status. Who produces must leave before who saves."""
    life.patch(kubectl, name, '{"suspend": true}')
    seen = [set(life.ROLES)]

    def at_rest():
        # Its phase is read first: pods that are seen after it must have gone by then.
        phase = status(kubectl, name)["phase"]
        found = life.pods(kubectl, name)
        present = {role for role, _ in found}
        if any(leaving for role, leaving in found if role == "learner"):
            assert not present & {"actor", "evaluator"}
        if any(leaving for role, leaving in found if role == "replay"):
            assert present == {"replay"}
        # None comes back.
        assert present <= seen[-1]
        seen.append(present)
        return phase == "Suspended"

    eventually(at_rest, bool, SECONDS)
    assert seen[-1] == set()
    return status(kubectl, name)


def ended(kubectl, name):
    """Wait until it has succeeded and its pods have left; look what it leaves behind."""
    found = life.phase(kubectl, name, "Succeeded")
    assert found["completionTime"]
    assert condition(kubectl, name, "Succeeded")[:2] == ("True", "StopConditionMet")
    eventually(lambda: life.pods(kubectl, name), lambda pods: not pods, SECONDS)
    # The last status is written after the last pod has left.
    eventually(
        lambda: condition(kubectl, name, "Progressing"), lambda seen: seen[0] == "False", SECONDS
    )
    after = status(kubectl, name)
    assert after["checkpoint"]["final"]
    assert after["completionTime"] == found["completionTime"]
    assert life.claims(kubectl, name) == {f"data-{name}-replay-0", f"{name}-learner"}
    run = life.volume(kubectl, f"{name}-learner") / "run"
    assert (run / "policy" / "policy.safetensors").exists()
    assert any((run / "checkpoints").iterdir())
    for role in ("learner", "replay", "evaluator"):
        assert (run / "logs" / f"{role}.log").stat().st_size > 0


def begin_from(kubectl, name, agent):
    """Start another one from what it left, which is kept for some seconds after its end."""
    last = status(kubectl, name)
    steps = last["environmentSteps"]
    life.apply(
        kubectl,
        "y",
        steps=steps + 500,
        resumeFrom={"experiment": name},
        # Long enough to be seen by who looks seldom.
        ttlSecondsAfterFinished=20,
        checkpoint={"retain": "Retain"},
    )
    first = eventually(
        lambda: status(kubectl, "y"), lambda seen: seen.get("environmentSteps", 0) > 0, SECONDS
    )
    assert first["environmentSteps"] >= steps
    assert life.phase(kubectl, "y", "Succeeded")["environmentSteps"] >= steps + 500
    eventually(lambda: life.is_gone(kubectl, "y"), bool, SECONDS)
    # Its own results were to be kept; the experiment that it began from was not touched.
    eventually(lambda: life.claims(kubectl, "y"), lambda left: left == {"y-learner"}, SECONDS)
    assert status(kubectl, name) == last


def test_a_new_operator_ends_what_another_one_began(make_operator, kubectl, agent):
    first = make_operator(*life.FLAGS).wait_leading()
    life.apply(kubectl, "x")
    life.steps_beyond(kubectl, "x", 0)

    life.patch(kubectl, "x", '{"suspend": true}')
    # Its last word is for the next one: what the first has read but not told would be lost.
    life.wait_leaving(kubectl, "x", "learner")
    first.kill()
    second = make_operator(*life.FLAGS).wait_leading()
    recorded = life.phase(kubectl, "x", "Suspended")["checkpoint"]
    assert recorded["final"]
    assert condition(kubectl, "x", "Suspended")[1] == "CheckpointRecorded"

    life.patch(kubectl, "x", '{"suspend": false}')
    life.phase(kubectl, "x", "Running")
    # So many more than there are that the operator is killed before they have been taken.
    steps = life.learner_says(kubectl, "x")["environmentSteps"] + 3000
    life.patch(kubectl, "x", f'{{"stop": {{"environmentSteps": {steps}}}}}')
    told = ["get", "configmap", "x-experiment", "--output=yaml"]
    eventually(lambda: kubectl(*told), lambda seen: f"environmentSteps: {steps}" in seen)
    second.kill()
    eventually(
        lambda: life.learner_says(kubectl, "x")["state"], lambda seen: seen == "finished", SECONDS
    )
    assert status(kubectl, "x")["phase"] == "Running"
    make_operator(*life.FLAGS)
    ended(kubectl, "x")
    assert status(kubectl, "x")["environmentSteps"] >= steps


def test_roles_that_are_killed_start_again_and_a_silent_learner_is_told(
    make_operator, kubectl, agent
):
    # Where the operator reaches no pod, the API server does, and asks in its place.
    make_operator(*life.FLAGS, "--progress-via=proxy").wait_leading()
    life.apply(kubectl, "x")
    steps = life.steps_beyond(kubectl, "x", 0)["environmentSteps"]
    for role in ("actor", "replay", "learner"):
        life.signal_role(kubectl, "x", role, signal.SIGKILL)
        eventually(lambda role=role: life.restarted(kubectl, "x", role, 1), bool, SECONDS)
        after = life.steps_beyond(kubectl, "x", steps)
        steps = after["environmentSteps"]
    # Actors come and go.
    running = eventually(
        lambda: status(kubectl, "x"),
        lambda seen: seen["phase"] == "Running" and seen["failures"] >= 2,
        SECONDS,
    )
    assert (running["failures"], len(running["restarts"])) == (2, 2)
    told = eventually(
        lambda: [message for reason, message in events(kubectl, "x") if reason == "Restarted"],
        lambda found: len(found) >= 2,
        SECONDS,
    )
    assert len(told) == 2
    assert all("exit code 137 (SIGKILL)" in message for message in told)

    stopped = life.signal_role(kubectl, "x", "learner", signal.SIGSTOP)
    silent = eventually(
        lambda: condition(kubectl, "x", "Progressing"),
        lambda seen: seen[1] == "LearnerSilent",
        SECONDS,
    )
    assert silent[0] == "Unknown"
    assert "environmentStepsPerSecond" not in status(kubectl, "x")
    # The loop goes on meanwhile.
    kubectl("scale", "rlx/x", "--replicas=2")
    eventually(lambda: status(kubectl, "x")["actors"], lambda seen: seen["desired"] == 2, SECONDS)
    assert life.signal_role(kubectl, "x", "learner", signal.SIGCONT) == stopped
    life.steps_beyond(kubectl, "x", steps)
    eventually(
        lambda: condition(kubectl, "x", "Progressing"),
        lambda seen: seen[:2] == ("True", "AsSpecified"),
        SECONDS,
    )
    assert status(kubectl, "x")["failures"] == 2


def test_what_cannot_go_on_fails_with_the_roles_own_words(operator, kubectl, agent):
    life.apply(kubectl, "diverges", learning_rate=1e30, ttlSecondsAfterFinished=3)
    eventually(lambda: life.is_gone(kubectl, "diverges"), bool, SECONDS)
    (told,) = eventually(
        lambda: [message for reason, message in events(kubectl, "diverges") if reason == "Failed"],
        bool,
        SECONDS,
    )
    assert told.startswith("CannotGoOn: learner ended with exit code 3: ")
    eventually(lambda: life.claims(kubectl, "diverges"), lambda left: not left, SECONDS)

    # What the environment's factory raises is a rule broken, and no crash.
    life.apply(kubectl, "unlicensed", factory="unlicensed")
    life.phase(kubectl, "unlicensed", "Failed")
    _, reason, message = condition(kubectl, "unlicensed", "Failed")
    assert (reason, "exit code 2" in message) == ("InvalidExperiment", True)
    assert "the simulator has no licence" in message

    life.apply(kubectl, "crashes", factory="crashing", failurePolicy={"backoffLimit": 1})
    crashed = life.phase(kubectl, "crashes", "Failed")
    _, reason, message = condition(kubectl, "crashes", "Failed")
    assert reason == "BackoffLimitExceeded"
    # One too many; learner and evaluator crash side by side, and a look may find both.
    assert crashed["failures"] in (2, 3)
    assert message.endswith("ended with exit code 1: the simulator lost its display")
    assert crashed["completionTime"]
    for name in ("unlicensed", "crashes"):
        eventually(lambda name=name: life.pods(kubectl, name), lambda pods: not pods, SECONDS)
