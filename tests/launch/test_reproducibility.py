"""Equal files give equal runs, stopped and resumed or not; another seed gives another run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small import dqn, equal, experiment, parameters, rows, run
from torch import nn

from greenroom.spaces import EnvironmentSpec


def dropping_out(spec: EnvironmentSpec) -> nn.Module:
    """A network whose layers draw random numbers of their own while they learn."""
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.3), nn.BatchNorm1d(16))


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dropout": {"agent": dqn(network={"factory": "test_reproducibility:dropping_out"})},
    "three environments": {"actors": {"environmentsPerActor": 3}},
    "rainbow parts": {
        "agent": dqn(nStep=3, dueling=True, double=True, prioritized={}),
        "actors": {"environmentsPerActor": 2},
        "replay": {"samplesPerInsert": 2, "minSize": 100, "maxSize": 600, "errorBuffer": 60},
    },
    "queue": {"replay": {"rateLimiter": "Queue", "maxSize": 50}},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_two_runs_of_one_file_are_the_same_run(name: str, tmp_path: Path) -> None:
    for directory in ("first", "second"):
        run(tmp_path / directory, experiment(**VARIANTS[name]))
    assert rows(tmp_path / "first") == rows(tmp_path / "second")
    assert equal(parameters(tmp_path / "first"), parameters(tmp_path / "second"))


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    for seed in (0, 1):
        run(tmp_path / str(seed), experiment(seed=seed))
    assert rows(tmp_path / "0") != rows(tmp_path / "1")
    assert not equal(parameters(tmp_path / "0"), parameters(tmp_path / "1"))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_resumed_run_ends_where_one_that_never_stopped_does(name: str, tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", experiment(**VARIANTS[name]))
    for steps in (301, 777, 1500):
        result = run(
            tmp_path / "parts",
            experiment(**VARIANTS[name], stop={"environmentSteps": steps}),
            resume=steps > 301,
        )
    assert result.environment_steps == whole.environment_steps
    assert result.learner_steps == whole.learner_steps
    assert equal(parameters(tmp_path / "whole"), parameters(tmp_path / "parts"))
    # A run that stops early is evaluated there; apart from that the records agree.
    whole_rows, parts_rows = rows(tmp_path / "whole"), rows(tmp_path / "parts")
    assert [row for row in parts_rows if row in whole_rows] == whole_rows


def test_resuming_in_the_middle_of_learning_changes_nothing(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", experiment(stop={"learnerSteps": 150}))
    for steps in (1, 33, 34, 150):
        result = run(tmp_path / "parts", experiment(stop={"learnerSteps": steps}), resume=steps > 1)
    assert result.learner_steps == whole.learner_steps == 150
    assert result.environment_steps == whole.environment_steps
    assert equal(parameters(tmp_path / "whole"), parameters(tmp_path / "parts"))


def test_evaluation_and_checkpoints_change_no_training(tmp_path: Path) -> None:
    run(tmp_path / "few", experiment())
    run(
        tmp_path / "many",
        experiment(evaluator={"episodes": 3, "interval": 130}, checkpoint={"interval": "1s"}),
    )
    assert equal(parameters(tmp_path / "few"), parameters(tmp_path / "many"))


def test_a_run_ends_at_the_same_step_however_often_it_looks_around(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = experiment(stop={"learnerSteps": 150})
    seldom = run(tmp_path / "seldom", wanted)
    monkeypatch.setattr("greenroom.training.session.HOUSEKEEPING_SECONDS", 0.001)
    often = run(tmp_path / "often", wanted)
    assert often.environment_steps == seldom.environment_steps
