"""Stop conditions that are changed while training goes on."""

from __future__ import annotations

import logging
import os
import uuid
from pathlib import Path

import pytest
import torch
from learner_tools import wait_until
from reverb_server import free_port
from role_tools import HOST, Role
from small import dqn, experiment, run

from greenroom.roles import stop_file as module
from greenroom.roles.learner import LearnerOptions, run_learner
from greenroom.roles.stop_file import StopFile
from greenroom.training.results import Result
from greenroom_api import dump_experiment
from greenroom_api.roles import Stop

FIRST = experiment(stop={"environmentSteps": 10**6})


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.0)


def mount(folder: Path, what: str) -> Path:
    """A file as a ConfigMap's volume has it: behind a link that is replaced as a whole."""
    version = folder / f"version-{uuid.uuid4().hex}"
    version.mkdir()
    (version / "experiment.yaml").write_text(what)
    link = folder / "..data.new"
    link.symlink_to(version.name)
    link.rename(folder / "..data")
    file = folder / "experiment.yaml"
    if not file.is_symlink():
        file.symlink_to("..data/experiment.yaml")
    return file


def test_only_stop_is_taken_and_each_change_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    told: list[Stop] = []
    stop = StopFile(mount(tmp_path, dump_experiment(FIRST)), FIRST, told.append)
    assert stop() == stop() == FIRST.spec.stop
    other = experiment(agent=dqn(batchSize=16), stop={"learnerSteps": 7, "episodeReturn": 475})
    mount(tmp_path, dump_experiment(other))
    assert stop() == stop() == other.spec.stop
    assert told == [other.spec.stop]
    mount(tmp_path, dump_experiment(other))
    stop()
    assert told == [other.spec.stop], "it says the same"
    (said,) = caplog.messages
    assert '"learnerSteps":7' in said


@pytest.mark.parametrize("damage", ["kind: Pod", "{", ""])
def test_a_file_that_is_none_changes_nothing_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    told: list[Stop] = []
    stop = StopFile(mount(tmp_path, dump_experiment(FIRST)), FIRST, told.append)
    mount(tmp_path, damage)
    for _ in range(3):
        assert stop() == FIRST.spec.stop
    (said,) = caplog.messages
    assert said.startswith("spec.stop stays as it is: ")
    (tmp_path / "..data").unlink()
    assert stop() == FIRST.spec.stop, "it is gone for the moment"
    wanted = experiment(stop={"environmentSteps": 500})
    mount(tmp_path, dump_experiment(wanted))
    assert stop() == wanted.spec.stop
    assert told == [wanted.spec.stop]


def test_a_learner_ends_by_what_its_file_says_now(tmp_path: Path) -> None:
    directory, mounted = tmp_path / "run", tmp_path / "mounted"
    mounted.mkdir()
    before = run(directory, experiment(stop={"environmentSteps": 200}))
    os.remove(directory / "summary.json")
    file = mount(mounted, dump_experiment(FIRST))
    options = LearnerOptions(
        HOST, free_port(), f"{HOST}:{free_port()}", directory, experiment_file=file
    )
    results: list[Result] = []
    threads = torch.get_num_threads()
    with Role(
        "learner", lambda context: results.append(run_learner(FIRST, context, options))
    ) as role:
        wait_until(lambda: role.status()["state"] == "training", seconds=60.0)
        mount(mounted, dump_experiment(experiment(stop={"environmentSteps": 200})))
        role.join()
    torch.set_num_threads(threads)
    assert role.error is None
    assert (results[0].state, results[0].reason) == ("Succeeded", "EnvironmentStepsReached")
    assert results[0].learner_steps == before.learner_steps
