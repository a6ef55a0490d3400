"""Stop conditions, and what a run leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import dqn, experiment, rows, run

import greenroom
from greenroom.errors import CheckpointError
from greenroom.observability.records import read_metrics
from greenroom.training.stopping import Reached, stop_reason
from greenroom_api import Stop


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ({"environmentSteps": 1000}, "EnvironmentStepsReached"),
        ({"learnerSteps": 400}, "LearnerStepsReached"),
        ({"episodeReturn": 90.0}, "EpisodeReturnReached"),
        ({"duration": "1m"}, "DurationReached"),
        ({"environmentSteps": 10, "episodeReturn": 1.0}, "EpisodeReturnReached"),
    ],
)
def test_a_met_condition_is_the_reason(stop: dict[str, Any], reason: str) -> None:
    met = stop_reason(Stop.model_validate(stop), Reached(1000, 400, 90.0, 60.0))
    assert met is not None
    assert met.reason == reason


@pytest.mark.parametrize(
    "stop",
    [
        {"environmentSteps": 1001},
        {"learnerSteps": 401},
        {"episodeReturn": 90.1},
        {"duration": "2m"},
    ],
)
def test_an_unmet_condition_goes_on(stop: dict[str, Any]) -> None:
    assert stop_reason(Stop.model_validate(stop), Reached(1000, 400, 90.0, 60.0)) is None


def test_a_return_is_not_reached_before_an_evaluation() -> None:
    assert stop_reason(Stop(episode_return=-1e9), Reached(10, 0, None, 1.0)) is None


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ({"learnerSteps": 7}, "LearnerStepsReached"),
        ({"episodeReturn": 1.0}, "EpisodeReturnReached"),
        ({"duration": "1s"}, "DurationReached"),
    ],
)
def test_a_run_ends_for_the_reason_it_was_given(
    stop: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    result = run(tmp_path / "run", experiment(stop=stop))
    assert (result.state, result.reason) == ("Succeeded", reason)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["reason"] == reason
    # Whatever ended it, the final parameters were evaluated.
    last = [row for row in read_metrics(tmp_path / "run") if row["kind"] == "evaluation"][-1]
    assert last["environmentSteps"] == result.environment_steps
    assert last["episodeReturn"] == result.episode_return


def test_the_final_evaluation_can_reach_the_wanted_return(tmp_path: Path) -> None:
    result = run(tmp_path / "run", experiment(stop={"environmentSteps": 300, "episodeReturn": 1.0}))
    assert result.reason == "EpisodeReturnReached"


def test_what_was_learnt_after_an_evaluation_is_evaluated_again(tmp_path: Path) -> None:
    """Learning by turns goes on at the step of the last evaluation; the end counts."""
    replay = {"samplesPerInsert": 2, "minSize": 100, "maxSize": 600, "errorBuffer": 200}
    evaluated = {"evaluator": {"episodes": 1, "interval": 200}, "replay": replay}
    run(tmp_path / "whole", experiment(**evaluated, stop={"environmentSteps": 600}))
    steps = rows(tmp_path / "whole")[-1]["learnerSteps"]
    result = run(tmp_path / "run", experiment(**evaluated, stop={"learnerSteps": steps + 5}))
    last = [row for row in rows(tmp_path / "run") if row["kind"] == "evaluation"][-1]
    assert last["learnerSteps"] == result.learner_steps == steps + 5


def test_rows_are_at_their_steps(tmp_path: Path) -> None:
    run(tmp_path / "run", experiment(actors={"environmentsPerActor": 3}))
    steps = [(row["kind"], row["environmentSteps"]) for row in rows(tmp_path / "run")]
    # The first count of steps, by threes, at or after each multiple.
    assert steps == [
        ("evaluation", 501),
        ("train", 1002),
        ("evaluation", 1002),
        ("evaluation", 1500),
    ]


def test_the_policy_is_that_of_the_final_evaluation(tmp_path: Path) -> None:
    result = run(tmp_path / "run", experiment(agent=dqn(dueling=True)))
    policy = greenroom.load_policy(tmp_path / "run")
    again = greenroom.load_policy(tmp_path / "run" / "policy")
    observations = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    actions = policy.act(observations)
    assert actions.shape == (50,)
    assert set(actions.tolist()) <= {0, 1}
    np.testing.assert_array_equal(actions, again.act(observations))
    one = greenroom.load_policy(tmp_path / "run")
    assert [int(one(observation)) for observation in observations] == actions.tolist()
    assert result.episode_return is not None


def test_a_damaged_policy_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "run", experiment(stop={"environmentSteps": 200}))
    file = tmp_path / "run" / "policy" / "policy.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"policy\.safetensors"):
        greenroom.load_policy(tmp_path / "run")
    with pytest.raises(CheckpointError, match="absent"):
        greenroom.load_policy(tmp_path / "absent")
