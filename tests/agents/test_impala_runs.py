"""Whole runs of IMPALA: reproducible, resumable, overlapped, and learning what they should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import greenroom
from greenroom.observability.records import WALL_CLOCK_FIELDS, read_metrics
from greenroom_api import RLExperiment, load_experiment, parse_experiment

EXAMPLES = Path(__file__).parents[2] / "examples"

AGENT: dict[str, Any] = {
    "batchSize": 4,
    "unrollLength": 10,
    "network": {"mlp": {"hiddenSizes": [16]}},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": AGENT,
    "memory": AGENT | {"lstm": {"hiddenSize": 8}},
}


def experiment(agent: dict[str, Any], **stop: int) -> RLExperiment:
    return parse_experiment(
        {
            "apiVersion": "greenroom.dev/v1alpha1",
            "kind": "RLExperiment",
            "metadata": {"name": "small"},
            "spec": {
                "environment": {"gymnasium": {"id": "CartPole-v1"}},
                "agent": {"impala": agent},
                "replay": {"rateLimiter": "Queue", "maxSize": 8},
                "actors": {"environmentsPerActor": 3},
                "evaluator": {"episodes": 2, "interval": 500},
                "stop": stop,
            },
        }
    )


def parameters(directory: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(directory / "policy" / "policy.safetensors")


def assert_equal(first: Path, second: Path) -> None:
    assert parameters(first).keys() == parameters(second).keys()
    for name, value in parameters(first).items():
        assert torch.equal(value, parameters(second)[name]), name


def rows(directory: Path) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in row.items() if name not in WALL_CLOCK_FIELDS}
        for row in read_metrics(directory)
    ]


@pytest.mark.parametrize("name", VARIANTS)
def test_a_resumed_run_ends_where_one_that_never_stopped_does(name: str, tmp_path: Path) -> None:
    whole = greenroom.run(
        experiment(VARIANTS[name], environmentSteps=1500), run_directory=tmp_path / "whole"
    )
    for steps in (301, 778, 1500):
        result = greenroom.run(
            experiment(VARIANTS[name], environmentSteps=steps),
            run_directory=tmp_path / "parts",
            resume=steps > 301,
        )
    assert result.environment_steps == whole.environment_steps
    assert result.learner_steps == whole.learner_steps > 20
    assert_equal(tmp_path / "whole", tmp_path / "parts")
    # A run that stops early is evaluated there; apart from that the records agree.
    whole_rows, parts_rows = rows(tmp_path / "whole"), rows(tmp_path / "parts")
    assert [row for row in parts_rows if row in whole_rows] == whole_rows
    assert all("policyLag" in row for row in whole_rows if row["kind"] == "train")


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    small = experiment(AGENT, learnerSteps=5)
    for seed in (0, 1):
        seeded = small.model_copy(update={"spec": small.spec.model_copy(update={"seed": seed})})
        greenroom.run(seeded, run_directory=tmp_path / str(seed))
    first, second = (parameters(tmp_path / str(seed)) for seed in (0, 1))
    assert not all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("name", VARIANTS)
def test_acting_may_overlap_learning_and_go_on_in_turns(name: str, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    for learner_steps, launch in ((20, "overlapped"), (40, "lockstep")):
        result = greenroom.run(
            experiment(VARIANTS[name], learnerSteps=learner_steps),
            run_directory=directory,
            launch=launch,
            resume=launch == "lockstep",
        )
        assert result.learner_steps == learner_steps
    assert int(parameters(directory)["learner_steps"]) == 40


def test_only_a_memory_solves_the_memory_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guessing one of four symbols returns 0.25; 100 episodes say so within 0.13 (3 sigma)."""
    monkeypatch.syspath_prepend(EXAMPLES.parent)
    file = EXAMPLES / "memory-impala.yaml"
    remembering = greenroom.run(load_experiment(file), run_directory=tmp_path / "lstm")
    assert remembering.episode_return is not None
    assert remembering.episode_return >= 0.99
    steps = remembering.environment_steps
    assert steps <= 150_000
    changes = ["spec.agent.impala.lstm=null", f"spec.stop.environmentSteps={steps}"]
    forgetful = greenroom.run(load_experiment(file, changes), run_directory=tmp_path / "plain")
    assert forgetful.environment_steps >= steps
    assert forgetful.episode_return is not None
    assert abs(forgetful.episode_return - 0.25) < 0.13


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_cartpole_is_solved_with_every_seed(seed: int, tmp_path: Path) -> None:
    file = EXAMPLES / "cartpole-impala.yaml"
    result = greenroom.run(load_experiment(file, seed=seed), run_directory=tmp_path / "run")
    assert result.episode_return is not None
    assert result.episode_return >= 475
    assert result.environment_steps <= 400_000
