"""A learner that goes on telling how training ended, until whoever records it has read it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from learner_tools import TOKEN, make_report, wait_until
from reverb_server import free_port
from role_tools import HOST, SOON, Role
from small import experiment, run

from greenroom.errors import RunDirectoryError
from greenroom.observability.run_directory import RunDirectory
from greenroom.roles import learner as module
from greenroom.roles import settings
from greenroom.roles.learner import LearnerOptions, run_learner
from greenroom.training.results import Result
from greenroom.variables.remote import LearnerClient
from greenroom_api import RLExperiment, dump_experiment

UID = "5d1e0f3a"
ENDLESS = experiment(stop={"environmentSteps": 10**6})
SHORT = experiment(stop={"environmentSteps": 200})


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def staying(
    what: RLExperiment, directory: Path, port: int | None = None
) -> tuple[Role, list[Result]]:
    """A learner that stays, not started yet, and where its result goes; there is no replay."""
    results: list[Result] = []
    port = port or free_port()
    options = LearnerOptions(HOST, port, f"{HOST}:{free_port()}", directory, UID, stay=True)
    return Role(
        "learner", lambda context: results.append(run_learner(what, context, options))
    ), results


def checkpoints(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "checkpoints").iterdir())


def test_started_again_on_what_is_finished_it_tells_how_and_does_not_train(tmp_path: Path) -> None:
    directory, port = tmp_path / "run", free_port()
    finished = run(directory, SHORT)
    before = checkpoints(directory)
    role, results = staying(ENDLESS, directory, port)
    with role:
        role.wait_until_ready()
        status = role.status()
        assert (status["state"], status["uid"], status["experiment"]) == ("finished", UID, "small")
        assert status["detail"] == finished.message
        assert status["environmentSteps"] == finished.environment_steps
        assert status["learnerSteps"] == finished.learner_steps
        assert status["episodeReturn"] == finished.episode_return
        assert status["environmentStepsPerSecond"] is status["bottleneck"] is None
        checkpoint = status["checkpoint"]
        assert checkpoint.pop("time") <= datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert checkpoint == {
            "environmentSteps": finished.environment_steps,
            "learnerSteps": finished.learner_steps,
            "final": True,
        }
        assert role.ask("/healthz")[0] == 200
        with LearnerClient(f"{HOST}:{port}", TOKEN) as client:
            assert client.report(make_report()).stop
        assert role.end() < SOON
    assert (results[0].state, results[0].signal) == ("Succeeded", None)
    assert checkpoints(directory) == before


def test_it_waits_for_a_learner_of_before_that_writes_the_run_still(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    finished = run(directory, SHORT)
    role, results = staying(ENDLESS, directory)
    with RunDirectory(directory).locked("learner"), role:
        role.wait_until_waiting(f"process {os.getpid()} of")
        assert role.ask("/healthz")[0] == 200
        with pytest.raises(RunDirectoryError, match="is writing"):
            role.end()
    assert not results

    role, results = staying(ENDLESS, directory)
    with contextlib.ExitStack() as before:
        before.enter_context(RunDirectory(directory).locked("learner"))
        with role:
            role.wait_until_waiting("still writes the run")
            before.close()
            role.wait_until_ready()
            assert role.status()["learnerSteps"] == finished.learner_steps
            role.end()
    assert results[0].state == "Succeeded"


def test_killed_after_the_final_checkpoint_it_finishes_without_learning_again(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "run"
    finished = run(directory, SHORT)
    (directory / "summary.json").unlink()
    role, results = staying(SHORT, directory)
    with role:
        wait_until(lambda: role.status()["state"] == "finished", seconds=60.0)
        assert role.is_ready()
        assert role.status()["learnerSteps"] == finished.learner_steps
        assert json.loads((directory / "summary.json").read_text())["state"] == "Succeeded"
        role.end()
    assert results[0].signal is None


def test_asked_to_stop_it_stays_until_somebody_has_read_that_all_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_SECONDS", 0.3)
    seen = []
    role, results = staying(ENDLESS, tmp_path / "run")
    with role:
        role.wait_until_waiting("replay server")
        status = role.status()
        assert (status["state"], status["checkpoint"]) == ("training", None)
        assert "replay server" in status["detail"]
        assert role.metrics()["greenroom_role_ready"] == 0
        role.ask_to_stop()

        def stopped() -> bool:
            seen.append(role.status())
            return bool(seen[-1]["state"] == "stopped")

        assert json.loads(role.ask("/counts")[1]) == {"environmentSteps": 0, "learnerSteps": 0}
        wait_until(stopped)
        role.join(SOON)
    assert {status["state"] for status in seen[:-1]} <= {"training", "stopping"}
    assert all(
        status["checkpoint"] is None or not status["checkpoint"]["final"] for status in seen[:-1]
    )
    assert seen[-1]["checkpoint"]["final"]
    assert results[0].signal == signal.SIGTERM


def test_unread_it_does_not_stay_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNREAD_SECONDS", 0.3)
    role, results = staying(ENDLESS, tmp_path / "run")
    with role:
        role.wait_until_waiting("replay server")
        role.end(SOON)
    assert results[0].state == "Interrupted"
    assert checkpoints(tmp_path / "run")


def test_a_resumed_run_tells_its_checkpoint_before_it_writes_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_SECONDS", 0.3)
    directory = tmp_path / "run"
    before = run(directory, SHORT)
    (directory / "summary.json").unlink()
    role, _ = staying(ENDLESS, directory)
    with role:
        wait_until(lambda: role.status()["state"] == "training")
        status = role.status()
        assert status["checkpoint"]["environmentSteps"] == before.environment_steps
        assert not status["checkpoint"]["final"]
        assert status["learnerSteps"] == before.learner_steps
        written = role.metrics()["greenroom_learner_checkpoint_timestamp_seconds"]
        assert datetime.fromtimestamp(written, UTC).strftime("%S") in status["checkpoint"]["time"]
        role.ask_to_stop()
        wait_until(lambda: role.status()["state"] == "stopped")
        role.join(SOON)


def test_the_process_that_stays_ends_with_status_0(tmp_path: Path) -> None:
    file, http_port = tmp_path / "experiment.yaml", free_port()
    file.write_text(dump_experiment(ENDLESS))
    environment = {
        **os.environ,
        settings.TOKEN: TOKEN,
        settings.EXPERIMENT: str(file),
        settings.REPLAY: f"{HOST}:{free_port()}",
        settings.PORT: str(free_port()),
        settings.HTTP_PORT: str(http_port),
        settings.RUN_DIRECTORY: str(tmp_path / "run"),
        settings.UID: UID,
        settings.STAY: "true",
    }
    command = [sys.executable, "-m", "greenroom", "role", "learner"]

    def status() -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{http_port}/status", timeout=5) as answer:
                read: dict[str, Any] = json.load(answer)
                return read
        except OSError:
            return {}

    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: status().get("state") == "training", seconds=120.0)
            process.terminate()
            wait_until(lambda: status().get("state") == "stopped", seconds=60.0)
            assert process.wait(timeout=60.0) == 0
        finally:
            process.kill()
