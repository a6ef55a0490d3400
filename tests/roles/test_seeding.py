"""A run that goes on from another one's checkpoint: whole or not at all, and counted on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small import dqn, equal, experiment, parameters, run

from greenroom.errors import CheckpointError, CheckpointMismatch, RunDirectoryError
from greenroom.learning.checkpoints import newest_written
from greenroom.observability.records import read_metrics
from greenroom.observability.run_directory import RunDirectory
from greenroom.roles import seeding
from greenroom.roles.seeding import seed_run
from greenroom.training.results import Result
from greenroom.variables.journal import CountsJournal
from greenroom.variables.journal_lines import read_counts
from greenroom.variables.messages import ActorReport
from greenroom_api import dump_experiment

LONGER = experiment(stop={"environmentSteps": 600})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    directory = tmp_path_factory.mktemp("source") / "run"
    result = run(directory, experiment(stop={"environmentSteps": 400}))
    with CountsJournal(directory / "counts.jsonl") as journal:  # as actors in pods leave it
        for actor in ("x-actors-1", "x-actors-2"):
            journal.record(ActorReport(actor, "a", 202, 2, (), 1.0, 0.0, 0, 0))
    return directory, result


@pytest.fixture
def source(finished: tuple[Path, Result], tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished[0], tmp_path / "source"))


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_it_goes_on_with_parameters_counts_and_metrics_and_is_not_finished(
    source: Path, finished: tuple[Path, Result], tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    (directory / "logs").mkdir(parents=True)  # of the learner that could not start yet
    before = contents(source)
    name = seed_run(LONGER, source, directory)
    assert contents(source) == before
    assert RunDirectory(directory).begun
    assert RunDirectory(directory).read_summary() is None
    newest, original = (
        newest_written(directory / "checkpoints"),
        newest_written(source / "checkpoints"),
    )
    assert newest is not None
    assert original is not None
    assert newest.path.name == name
    assert newest.time == original.time
    counts = read_counts(directory / "counts.jsonl")
    assert (counts.total.environment_steps, counts.total.episodes) == (404, 4)
    assert counts.actors() == set(), "the other run's actors are not waited for"
    assert not list(directory.glob(".seeding*"))

    result = run(directory, LONGER, resume=True)
    assert result.state == "Succeeded"
    assert result.environment_steps >= 600
    assert result.learner_steps > finished[1].learner_steps
    rows = [row["environmentSteps"] for row in read_metrics(directory) if row["kind"] != "train"]
    assert rows[0] <= 404 < rows[-1]
    assert not equal(parameters(directory), parameters(source))


def test_a_run_that_has_begun_is_left_alone(source: Path, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    assert seed_run(LONGER, source, directory) is not None
    before = contents(directory)
    assert seed_run(LONGER, source, directory) is None
    assert contents(directory) == before


@pytest.mark.parametrize("crash", range(7))
def test_a_copy_that_is_cut_short_anywhere_begins_anew(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash: int
) -> None:
    directory = tmp_path / "run"
    calls = []

    def dying(function: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            calls.append(function)
            if len(calls) == crash + 1:
                raise KeyboardInterrupt
            return function(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(seeding.shutil, "copytree", dying(shutil.copytree))
        patch.setattr(seeding, "counts_to_lines", dying(seeding.counts_to_lines))
        patch.setattr(seeding.shutil, "copy2", dying(shutil.copy2))
        patch.setattr(seeding, "_replace", dying(seeding._replace))
        patch.setattr(seeding, "replace_text", dying(seeding.replace_text))
        with pytest.raises(KeyboardInterrupt):
            seed_run(LONGER, source, directory)
    assert not RunDirectory(directory).begun
    assert seed_run(LONGER, source, directory) is not None
    assert not list(directory.glob(".seeding*"))
    assert read_counts(directory / "counts.jsonl").total.environment_steps == 404
    assert run(directory, LONGER, resume=True).state == "Succeeded"


def test_a_damaged_checkpoint_is_passed_over(source: Path, tmp_path: Path) -> None:
    newest = newest_written(source / "checkpoints")
    assert newest is not None
    older = source / "checkpoints" / "000000-step-1"
    if not older.exists():
        shutil.copytree(newest.path, older)
    (newest.path / "learning.safetensors").write_bytes(b"torn")
    assert seed_run(LONGER, source, tmp_path / "run") == older.name
    for folder in (source / "checkpoints").iterdir():
        (folder / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=r"goes on from a whole checkpoint in .* Got: "):
        seed_run(LONGER, source, tmp_path / "another")
    assert not RunDirectory(tmp_path / "another").begun


def test_another_agent_or_environment_is_refused_as_resume_does(
    source: Path, tmp_path: Path
) -> None:
    other = experiment(environment={"gymnasium": {"id": "Acrobot-v1"}})
    with pytest.raises(
        CheckpointMismatch, match=r"id is 'CartPole-v1' in the .* 'Acrobot-v1' here"
    ):
        seed_run(other, source, tmp_path / "run")
    assert not RunDirectory(tmp_path / "run").begun


def test_hyperparameters_may_differ(source: Path, tmp_path: Path) -> None:
    assert seed_run(experiment(agent=dqn(batchSize=16)), source, tmp_path / "run")


def test_pods_and_volumes_may_differ(source: Path, tmp_path: Path) -> None:
    manifest = next((source / "checkpoints").glob("*/manifest.json"))
    identity = json.loads(manifest.read_text())["identity"]
    assert not {"replicas", "podTemplate", "storage"} & (
        identity["actors"].keys() | identity["replay"].keys()
    )
    assert seed_run(
        experiment(actors={"replicas": 7}, stop={"environmentSteps": 500}), source, tmp_path / "run"
    )


def test_a_full_disk_is_told_and_may_be_tried_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(seeding.shutil, "copytree", full)
        with pytest.raises(RunDirectoryError, match="No space left on device"):
            seed_run(LONGER, source, tmp_path / "run")
    assert seed_run(LONGER, source, tmp_path / "run") is not None


def test_the_command_ends_with_0_or_with_2_and_why(source: Path, tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text(dump_experiment(LONGER))
    command = [sys.executable, "-m", "greenroom", "role", "seed", "--run-directory"]
    environment = {**os.environ, "GREENROOM_EXPERIMENT": str(file)}

    def seeded(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, text=True, check=False
        )

    target = str(tmp_path / "run")
    for said in ("goes on from", "has begun: nothing is copied"):
        done = seeded(target, "--source", str(source))
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
    absent = tmp_path / "absent"
    done = seeded(str(tmp_path / "new"), "--source", str(absent))
    assert done.returncode == 2
    assert f"A run goes on from a run. Got: {absent}, which is none." in done.stderr
    assert "Traceback" not in done.stderr
