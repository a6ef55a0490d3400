"""Counts, rates and checkpoints in the status, how often they are written, and stalls."""

from dataclasses import replace

import pytest
from life_tools import (
    ALL,
    after,
    all_pods,
    condition,
    experiment,
    leaving,
    pod,
    progress,
    running_status,
    saved,
    seen,
    status_of,
)

from greenroom_operator.observed import Silence

FIGURES = {
    "environment_steps": 5_000,
    "learner_steps": 400,
    "episode_return": 123.456789,
    "environment_steps_per_second": 812.34567,
    "learner_steps_per_second": 51.0,
    "samples_per_insert": 7.99999,
    "bottleneck": "acting",
}


def heard(status, seconds, **fields):
    """The status after a learner said something, read at that time."""
    said = progress("training", seconds, **(FIGURES | fields))
    return status_of(experiment(status), seen(all_pods(), ALL, now=after(seconds), progress=said))


def test_figures_are_written_as_people_read_them():
    status = heard(running_status(), 40)
    assert {
        "environmentSteps": 5_000,
        "learnerSteps": 400,
        "episodeReturn": 123.457,
        "environmentStepsPerSecond": 812.3,
        "learnerStepsPerSecond": 51.0,
        "samplesPerInsert": 8.0,
        "bottleneck": "acting",
        "progressTime": "2026-11-24T12:00:40Z",
    }.items() <= status.items()
    assert "checkpoint" not in status


def test_steps_are_counted_from_zero_once_a_learner_runs():
    assert "environmentSteps" not in status_of(experiment(), seen())
    status = status_of(experiment(), seen((pod("learner", ready=False),)))
    assert (status["environmentSteps"], status["learnerSteps"]) == (0, 0)


def test_figures_alone_are_written_every_30_s_at_most():
    first = heard(running_status(), 40)
    assert heard(first, 69, environment_steps=6_000) == first
    second = heard(first, 71, environment_steps=6_000)
    assert second["environmentSteps"] == 6_000
    assert second["progressTime"] == "2026-11-24T12:01:11Z"


def test_figures_are_written_at_once_beside_anything_else():
    first = heard(running_status(), 40)
    said = progress("training", 45, **FIGURES | {"environment_steps": 6_000})
    scaled = seen(all_pods(3), ALL, now=after(45), progress=said)
    assert status_of(experiment(first, actors=3), scaled)["environmentSteps"] == 6_000
    final = heard(first, 45, environment_steps=6_000, checkpoint=saved(final=True))
    assert final["environmentSteps"] == 6_000
    newer = heard(first, 45, checkpoint=saved(final=False))
    assert "checkpoint" not in newer  # every few minutes; it can wait for 30 s


@pytest.mark.parametrize("jump", [-86_400, 86_400])
def test_a_clock_jump_freezes_no_figures(jump):
    first = heard(running_status(), 40)
    second = heard(first, 40 + jump, environment_steps=6_000)
    assert second["environmentSteps"] == 6_000
    third = heard(second, 40 + jump + 31, environment_steps=7_000)
    assert third["environmentSteps"] == 7_000


def test_figures_that_stay_are_not_written_again():
    first = heard(running_status(), 40)
    assert heard(first, 1_000)["progressTime"] == first["progressTime"]


def test_environment_steps_never_go_back_and_learner_steps_tell_the_truth():
    first = heard(running_status(), 40)
    second = heard(first, 90, environment_steps=4_000, learner_steps=300)
    assert (second["environmentSteps"], second["learnerSteps"]) == (5_000, 300)


def test_a_learner_that_starts_has_nothing_to_say_of_counts():
    first = heard(running_status(), 40)
    said = progress("starting", 90, environment_steps=0, learner_steps=0)
    status = status_of(experiment(first), seen(all_pods(), ALL, now=after(90), progress=said))
    assert (status["environmentSteps"], status["learnerSteps"]) == (5_000, 400)
    assert "environmentStepsPerSecond" not in status
    assert status["episodeReturn"] == 123.457


@pytest.mark.parametrize(
    "fields",
    [
        {"pods": (leaving("learner", uid="another"),)},
        {"pods": ()},
        {"silence": Silence(after(50), "Connection refused")},
        {"progress": progress("stopping", 89, **FIGURES)},
    ],
)
def test_rates_are_of_a_learner_that_trains(fields):
    said = progress("training", 40, **FIGURES)
    observed = seen(all_pods(), ALL, now=after(90), progress=said)
    status = status_of(experiment(heard(running_status(), 40)), replace(observed, **fields))
    assert "environmentStepsPerSecond" not in status
    assert "bottleneck" not in status
    assert status["environmentSteps"] == 5_000


def test_a_new_operator_writes_nothing_before_it_has_asked():
    first = heard(running_status(), 40, checkpoint=saved(final=False))
    assert status_of(experiment(first), seen(all_pods(), ALL, now=after(500))) == first
    stalled = heard(heard(heard(first, 80), 200), 230)
    assert condition(stalled, "ReplayStalled")[0] == "True"
    assert status_of(experiment(stalled), seen(all_pods(), ALL, now=after(500))) == stalled


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 1.7976e308, -1.0])
def test_numbers_that_the_schema_refuses_are_unknown(odd):
    status = heard(running_status(), 40, environment_steps_per_second=odd, samples_per_insert=odd)
    assert "environmentStepsPerSecond" not in status
    assert "samplesPerInsert" not in status
    status = heard(running_status(), 40, environment_steps=-5, learner_steps=2**70)
    assert (status["environmentSteps"], status["learnerSteps"]) == (0, 2**53 - 1)


@pytest.mark.parametrize(
    ("bottleneck", "reason", "words"),
    [
        ("acting", "SamplingBlocked", "learning is blocked: it waits for actors' experience"),
        ("learning", "InsertingBlocked", "acting is blocked: actors wait for the learner"),
        (None, "BothStandStill", "neither acting nor learning goes on"),
    ],
)
def test_flow_has_ceased_when_no_count_moves_for_two_minutes(bottleneck, reason, words):
    first = heard(running_status(), 40, bottleneck=bottleneck)
    assert condition(first, "ReplayStalled") == ("False", "Flowing", "experience flows")
    soon = heard(first, 159, bottleneck=bottleneck)
    assert condition(soon, "ReplayStalled")[0] == "False"
    stalled = heard(soon, 161, bottleneck=bottleneck)
    message = f"{words}; no steps for 2 min, 2/2 actors ready"
    assert condition(stalled, "ReplayStalled") == ("True", reason, message)
    assert heard(stalled, 300, bottleneck=bottleneck) == stalled
    slower = {"bottleneck": bottleneck, "environment_steps_per_second": 0.1}
    assert condition(heard(stalled, 300, **slower), "ReplayStalled")[0] == "True"
    moves = heard(stalled, 400, environment_steps=5_001)
    assert condition(moves, "ReplayStalled")[0] == "False"


def test_a_stall_needs_a_learner_that_trains():
    first = heard(running_status(), 40)
    said = progress("stopping", 300, **FIGURES)
    status = status_of(experiment(first), seen(all_pods(), ALL, now=after(300), progress=said))
    assert condition(status, "ReplayStalled") == ("False", "NotTraining", "no learner trains")
