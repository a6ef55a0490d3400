"""Signals, kills and broken environments: nothing saved is lost, and what happened is said."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from small import SPEC, dqn, equal, experiment, parameters, rows, run

from greenroom.errors import (
    CheckpointError,
    CheckpointMismatch,
    EnvironmentFault,
    RunDirectoryError,
    TrainingDiverged,
)
from greenroom.training.evaluations import EpisodePlayer

STEPS = 20_000


def write_file(directory: Path, **changes: Any) -> Path:
    path = directory / "small.yaml"
    content = {
        "apiVersion": "greenroom.dev/v1alpha1",
        "kind": "RLExperiment",
        "metadata": {"name": "small"},
        "spec": SPEC | {"stop": {"environmentSteps": STEPS}} | changes,
    }
    path.write_text(json.dumps(content))  # JSON is YAML
    return path


def start(file: Path, directory: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "greenroom", "run", str(file), "--json"]
    return subprocess.Popen(
        [*command, "--run-directory", str(directory), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Any, process: subprocess.Popen[str], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and process.poll() is None:
        assert time.monotonic() < deadline, "it did not come so far in time"
        time.sleep(0.01)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_ends_with_a_checkpoint_that_resumes_exactly(
    number: signal.Signals, status: int, tmp_path: Path
) -> None:
    file = write_file(tmp_path)
    directory = tmp_path / "run"
    process = start(file, directory)
    wait_for(lambda: (directory / "metrics.jsonl").exists() and rows(directory), process)
    process.send_signal(number)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == status, errors
    summary = json.loads(output.splitlines()[-1])
    assert summary["state"] == "Interrupted"
    assert 0 < summary["environmentSteps"] < STEPS

    resumed = start(file, directory, "--resume")
    _, errors = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, errors

    run(tmp_path / "whole", experiment(stop={"environmentSteps": STEPS}))
    assert rows(directory) == rows(tmp_path / "whole")
    assert equal(parameters(directory), parameters(tmp_path / "whole"))


@pytest.mark.timeout(900)
def test_a_run_killed_at_random_moments_always_resumes(tmp_path: Path) -> None:
    """SIGKILL, again and again, while checkpoints are written as often as they can be."""
    file = write_file(tmp_path, checkpoint={"interval": "1s", "keep": 2})
    directory = tmp_path / "run"
    checkpoints = directory / "checkpoints"
    chance = random.Random(0)
    kills = 0
    for attempt in range(14):
        begun = (directory / "experiment.yaml").exists()
        process = start(file, directory, *(["--resume"] if begun else []))
        if attempt < 10:
            wait_for((directory / "experiment.yaml").exists, process)
            if attempt < 4:  # while it starts, mostly before there is any checkpoint
                time.sleep(chance.uniform(1.0, 3.5))
            else:  # just after a checkpoint, or while the next one is written
                before = set(checkpoints.glob("[0-9]*"))
                wait_for(lambda: set(checkpoints.glob("[0-9]*")) - before, process)  # noqa: B023
                time.sleep(chance.uniform(0, 0.3))
            process.kill()
        _, errors = process.communicate(timeout=300)
        kills += process.returncode == -signal.SIGKILL
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, errors
    assert kills >= 5
    assert process.returncode == 0

    run(tmp_path / "whole", experiment(stop={"environmentSteps": STEPS}))
    assert rows(directory) == rows(tmp_path / "whole")
    assert equal(parameters(directory), parameters(tmp_path / "whole"))


class Breaking(gym.Env[Any, Any]):
    """Works until its 700th step."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)
    steps = 0

    def reset(self, **options: Any) -> Any:
        super().reset(seed=options.get("seed"))
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        reward = 1.0
        if self.steps >= 700:
            match os.environ["BREAKING"]:
                case "raise":
                    raise ValueError("the robot fell over")
                case "nan":
                    reward = float("nan")
        return np.zeros(2, np.float32), reward, self.steps % 10 == 0, False, {}


@pytest.mark.parametrize(
    ("how", "message"), [("raise", "the robot fell over"), ("nan", "(?i)reward.*nan")]
)
def test_a_broken_environment_is_named_and_the_checkpoint_stands(
    how: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BREAKING", how)
    broken = experiment(
        environment={"factory": "test_faults:Breaking"}, checkpoint={"interval": "1s"}
    )
    with pytest.raises(EnvironmentFault, match=message):
        run(tmp_path / "run", broken)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["state"], summary["reason"]) == ("Failed", "EnvironmentFault")
    monkeypatch.setenv("BREAKING", "no more")
    resumed = run(tmp_path / "run", broken, resume=True)
    assert resumed.state == "Succeeded"
    assert resumed.environment_steps == 1500


@pytest.mark.parametrize("prioritized", [None, {}], ids=["uniform", "prioritized"])
def test_a_diverging_loss_is_refused_and_never_saved(prioritized: Any, tmp_path: Path) -> None:
    diverging = experiment(
        agent=dqn(learningRate=1e30, maxGradientNorm=None, prioritized=prioritized),
        checkpoint={"interval": "1s"},
        stop={"environmentSteps": 5_000},
    )
    with pytest.raises(TrainingDiverged, match="learner step"):
        run(tmp_path / "run", diverging)


def test_an_existing_run_directory_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    run(tmp_path / "run", experiment(stop={"environmentSteps": 200}))
    before = snapshot(tmp_path / "run")
    with pytest.raises(RunDirectoryError, match="--resume"):
        run(tmp_path / "run", experiment())
    assert snapshot(tmp_path / "run") == before


def test_another_agents_checkpoint_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    run(tmp_path / "run", experiment(stop={"environmentSteps": 200}))
    before = snapshot(tmp_path / "run")
    other = experiment(agent=dqn(nStep=3))
    with pytest.raises(CheckpointMismatch, match=r"spec\.agent\.dqn\.nStep is 1 .* and 3 here"):
        run(tmp_path / "run", other, resume=True)
    assert snapshot(tmp_path / "run") == before


def snapshot(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_resuming_a_run_whose_checkpoints_are_all_damaged_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "run", experiment(stop={"environmentSteps": 200}))
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        (path / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=r"manifest\.json"):
        run(tmp_path / "run", experiment(), resume=True)


def test_a_run_is_written_by_one_process_at_a_time(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    process = start(write_file(tmp_path), directory)
    wait_for(lambda: (directory / "metrics.jsonl").exists(), process)
    with pytest.raises(RunDirectoryError, match=f"process {process.pid} of .* is writing"):
        run(directory, experiment(stop={"environmentSteps": STEPS}), resume=True)
    process.terminate()
    process.communicate(timeout=120)
    assert process.returncode == 143


def test_nobody_reading_the_output_does_not_end_a_run(tmp_path: Path) -> None:
    file = write_file(tmp_path, stop={"environmentSteps": 3_000})
    with start(file, tmp_path / "run") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
    assert process.returncode == 0, errors
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["state"] == "Succeeded"


def test_a_signal_in_the_final_evaluation_is_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes when the evaluation begins; resuming plays it after all."""
    stopping = experiment(stop={"environmentSteps": 300})
    evaluate = EpisodePlayer.play

    def interrupted(self: EpisodePlayer, *arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(self, *arguments)

    monkeypatch.setattr(EpisodePlayer, "play", interrupted)
    first = run(tmp_path / "run", stopping)
    assert (first.state, first.signal, first.episode_return) == ("Interrupted", 15, None)
    monkeypatch.setattr(EpisodePlayer, "play", evaluate)
    second = run(tmp_path / "run", stopping, resume=True)
    assert second.state == "Succeeded"
    assert second.environment_steps == 300
    assert second.episode_return is not None
