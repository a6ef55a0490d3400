"""Where a run is: the expected time to its end, and its summary for programs."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.observability.progress import (
    Progress,
    RoleStatus,
    StopLimits,
    Summary,
    estimate_eta,
)


def halfway(stop: StopLimits, environment_rate: float = 200.0) -> float | None:
    """Return the time left after 4,000 steps, 100 learner steps and 20 seconds."""
    return estimate_eta(
        stop,
        environment_steps=4_000,
        learner_steps=100,
        wall_seconds=20.0,
        environment_steps_per_second=environment_rate,
        learner_steps_per_second=5.0,
    )


@pytest.mark.parametrize(
    ("stop", "seconds"),
    [
        (StopLimits(environment_steps=10_000), 30.0),
        (StopLimits(learner_steps=200), 20.0),
        (StopLimits(duration_seconds=25.0), 5.0),
        (StopLimits(environment_steps=10_000, learner_steps=200, duration_seconds=60.0), 20.0),
        (StopLimits(environment_steps=4_000), 0.0),
        (StopLimits(environment_steps=3_000, duration_seconds=60.0), 0.0),
        (StopLimits(episode_return=475.0), None),
        (StopLimits(), None),
    ],
)
def test_the_first_condition_to_be_met_counts(stop: StopLimits, seconds: float | None) -> None:
    assert halfway(stop) == seconds


def test_a_count_that_stands_still_says_nothing() -> None:
    assert halfway(StopLimits(environment_steps=10_000), environment_rate=0.0) is None
    both = StopLimits(environment_steps=10_000, duration_seconds=60.0)
    assert halfway(both, environment_rate=0.0) == 40.0


@settings(max_examples=50)
@given(
    limit=st.integers(1, 10**9),
    duration=st.floats(0.1, 1e6),
    steps=st.integers(0, 10**9),
    rate=st.floats(0.0, 1e6),
)
def test_another_condition_never_makes_it_later(
    limit: int, duration: float, steps: int, rate: float
) -> None:
    def eta(stop: StopLimits) -> float | None:
        return estimate_eta(
            stop,
            environment_steps=steps,
            learner_steps=0,
            wall_seconds=0.0,
            environment_steps_per_second=rate,
            learner_steps_per_second=0.0,
        )

    both = eta(StopLimits(environment_steps=limit, duration_seconds=duration))
    assert both is not None
    assert 0.0 <= both <= duration
    alone = eta(StopLimits(environment_steps=limit))
    assert alone is None or both <= alone


def progress(episode_return: float | None, *episode_returns: float) -> Progress:
    return Progress(
        state="Running",
        environment_steps=1,
        learner_steps=1,
        episodes=1,
        environment_steps_per_second=1.0,
        learner_steps_per_second=1.0,
        wall_seconds=1.0,
        episode_return=episode_return,
        episode_returns=episode_returns,
    )


def test_the_best_evaluation() -> None:
    assert progress(5.0, -3.0, 8.0, 5.0).best_episode_return == 8.0
    assert progress(5.0).best_episode_return == 5.0
    assert progress(None).best_episode_return is None


def test_progress_is_the_same_in_another_process() -> None:
    here = replace(
        progress(5.0, -3.0, 5.0),
        stop=StopLimits(environment_steps=10, episode_return=475.0),
        agent_metrics={"loss": 0.25},
        bottleneck="actor",
        waiting_for="the evaluator",
        roles=(RoleStatus("actor-0", "waiting", "for the learner", restarts=2),),
    )
    assert Progress.from_json(json.loads(json.dumps(here.to_json()))) == here


def test_what_is_no_finite_number_is_unknown_in_another_process() -> None:
    here = replace(
        progress(math.nan, 1.0, -math.inf),
        training_return=math.inf,
        samples_per_insert=math.nan,
        agent_metrics={"loss": math.nan, "epsilon": 0.5},
    )
    there = Progress.from_json(json.loads(json.dumps(here.to_json(), allow_nan=False)))
    assert (there.episode_return, there.training_return, there.samples_per_insert) == (None,) * 3
    # Where a display takes numbers alone, they are numbers.
    assert there.agent_metrics["epsilon"] == 0.5
    assert math.isnan(there.agent_metrics["loss"])
    assert there.episode_returns[0] == there.best_episode_return == 1.0
    assert math.isnan(there.episode_returns[1])


def test_a_summary_is_json_with_the_documented_keys() -> None:
    summary = Summary("Succeeded", "Done", "all done", None, 10, 5, 1.23456, Path("runs/a"))
    assert json.loads(json.dumps(summary.to_json())) == {
        "state": "Succeeded",
        "reason": "Done",
        "message": "all done",
        "episodeReturn": None,
        "environmentSteps": 10,
        "learnerSteps": 5,
        "wallSeconds": 1.235,
        "runDirectory": "runs/a",
    }
