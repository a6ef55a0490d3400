"""The directory of a run: made once, recognised later."""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import greenroom.observability.run_directory as module
from greenroom.errors import RunDirectoryError
from greenroom.observability.files import replace_text
from greenroom.observability.progress import Summary
from greenroom.observability.run_directory import RunDirectory

EXPERIMENT = "kind: RLExperiment\n"


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_default_name_is_the_experiment_and_the_time() -> None:
    run = RunDirectory.create(None, "cartpole")
    assert run.path.is_dir()
    assert re.fullmatch(r"runs/cartpole-\d{8}-\d{6}", str(run.path))


def test_runs_that_begin_at_once_have_directories_of_their_own() -> None:
    paths = {RunDirectory.create(None, "cartpole").path for _ in range(5)}
    assert len(paths) == 5


def test_a_chosen_directory_is_made() -> None:
    assert RunDirectory.create(Path("a/b"), "cartpole").path == Path("a/b")
    assert Path("a/b").is_dir()


def test_an_empty_directory_is_taken() -> None:
    Path("mine").mkdir()
    Path("mine/.gitkeep").touch()
    RunDirectory.create(Path("mine"), "cartpole")


def test_a_directory_with_results_is_refused() -> None:
    run = RunDirectory.create(Path("mine"), "cartpole")
    run.write_experiment(EXPERIMENT)
    with pytest.raises(RunDirectoryError) as refused:
        RunDirectory.create(Path("mine"), "cartpole")
    for part in ("Got: mine", "experiment.yaml", "--resume", "--run-directory"):
        assert part in str(refused.value)


def test_a_directory_with_logs_of_processes_that_were_refused_is_taken() -> None:
    run = RunDirectory.create(Path("mine"), "cartpole")
    run.logs.mkdir(parents=True)
    (run.logs / "all.log").write_text("learner: there is no such environment\n")
    again = RunDirectory.create(Path("mine"), "cartpole")
    assert not again.begun
    again.write_experiment(EXPERIMENT)
    assert again.begun
    with pytest.raises(RunDirectoryError, match="experiment"):
        RunDirectory.create(Path("mine"), "cartpole")


def test_a_file_is_no_directory() -> None:
    Path("mine").touch()
    with pytest.raises(RunDirectoryError, match=r"EEXIST.*mine"):
        RunDirectory.create(Path("mine"), "cartpole")


def test_a_parent_that_cannot_hold_it_is_named() -> None:
    Path("parent").touch()
    with pytest.raises(RunDirectoryError, match=r"ENOTDIR.*parent/run"):
        RunDirectory.create(Path("parent/run"), "cartpole")


def test_a_run_is_opened() -> None:
    run = RunDirectory.create(Path("mine"), "cartpole")
    run.write_experiment(EXPERIMENT)
    assert RunDirectory.open(Path("mine")) == run
    assert run.experiment.read_text() == EXPERIMENT


@pytest.mark.parametrize("content", [None, "", "kind: Pod\n", "[1, 2]", "{:", "\x00"])
def test_what_is_not_ours_is_not_opened(content: str | None) -> None:
    Path("other").mkdir()
    if content is not None:
        Path("other/experiment.yaml").write_text(content)
    with pytest.raises(RunDirectoryError, match=r"RLExperiment\. Got: other"):
        RunDirectory.open(Path("other"))


def test_a_missing_directory_is_not_opened() -> None:
    with pytest.raises(RunDirectoryError, match=r"must exist\. Got: nowhere"):
        RunDirectory.open(Path("nowhere"))


def test_the_newest_run_of_a_name() -> None:
    for name in (
        "cartpole-20260101-000000",
        "cartpole-20260102-000000",
        "cartpole-20260102-000000-2",
        "cartpole-20260102-000000-10",
        "cartpole-large-20260103-000000",
        "cartpole-20269999",
    ):
        RunDirectory.create(Path("runs") / name, "x").write_experiment(EXPERIMENT)
    assert RunDirectory.newest("cartpole").path.name == "cartpole-20260102-000000-10"
    assert RunDirectory.newest("cartpole-large").path.name == "cartpole-large-20260103-000000"
    with pytest.raises(RunDirectoryError, match="a run of 'cart'"):
        RunDirectory.newest("cart")


def test_the_environment_names_every_package_once_without_paths() -> None:
    run = RunDirectory.create(Path("mine"), "cartpole")
    run.write_experiment(EXPERIMENT)
    text = run.environment.read_text()
    python, _platform, *packages = text.splitlines()
    assert python.startswith("# Python 3.")
    assert f"numpy=={np.__version__}" in packages
    assert packages == sorted(set(packages), key=str.lower)
    assert all(re.fullmatch(r"[\w.-]+==\S+", package) for package in packages)
    assert os.sep + "home" not in text


def test_the_summary_is_valid_json() -> None:
    run = RunDirectory.create(Path("mine"), "cartpole")
    summary = Summary("Succeeded", "Done", "all done", 475.0, 10, 5, 1.5, run.path)
    run.write_summary(summary)
    assert json.loads(run.summary.read_text()) == summary.to_json()
    run.write_summary(replace(summary, episode_return=math.nan))
    written = json.loads(run.summary.read_text(), parse_constant=pytest.fail)
    assert written["episodeReturn"] is None


def test_a_failed_replacement_leaves_the_old_file(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("file.txt")
    replace_text(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunDirectoryError, match=r"No space left on device \(ENOSPC\).*file\.txt"):
        replace_text(path, "new")
    assert path.read_text() == "old"
    assert [item.name for item in Path().iterdir()] == ["file.txt"]


def test_paths_are_those_of_the_docstring() -> None:
    run = RunDirectory(Path("r"))
    paths = (
        run.experiment,
        run.environment,
        run.metrics_jsonl,
        run.metrics_csv,
        run.tensorboard,
        run.checkpoints,
        run.policy,
        run.summary,
    )
    for path in paths:
        assert re.search(rf"^      {re.escape(path.name)}\b", module.__doc__ or "", re.MULTILINE)
