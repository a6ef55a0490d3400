"""Whole runs as processes, over a real Reverb server: they end well whatever is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from small import SPEC, parameters

from greenroom.observability.records import read_metrics
from greenroom.training.remote import NO_REPLAY

# On a busy machine real roles take their time to start.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ACTORS = 2
ENVIRONMENTS = 2
UNROLL = 20  # vector steps
METRICS = {
    "replay": "greenroom_replay_inserts",
    "learner": "greenroom_learner_steps",
    "actor": "greenroom_actor_environment_steps",
    "evaluator": "greenroom_evaluator_evaluations",
}


class Run:
    """A launcher, and the roles that it started."""

    def __init__(self, directory: Path, *options: str, **changes: Any) -> None:
        self.directory = directory / "run"
        file = directory / "small.yaml"
        content = {
            "apiVersion": "greenroom.dev/v1alpha1",
            "kind": "RLExperiment",
            "metadata": {"name": "small"},
            "spec": SPEC
            | {
                "actors": {"replicas": ACTORS, "environmentsPerActor": ENVIRONMENTS},
                "checkpoint": {"interval": "1s"},
                "stop": {"environmentSteps": 6_000},
            }
            | changes,
        }
        file.write_text(json.dumps(content))
        command = [sys.executable, "-m", "greenroom", "run", str(file), "--json"]
        command += ["--run-directory", str(self.directory), *options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def roles(self) -> dict[str, int]:
        """Return the pid of each role that runs."""
        found = {}
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        for child in children.read_text().split() if children.exists() else []:
            arguments = _command(int(child))
            if "role" in arguments:
                name = arguments[arguments.index("role") + 1]
                if "--name" in arguments:
                    name = arguments[arguments.index("--name") + 1]
                found[name] = int(child)
        return found

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """Return the metrics so far."""
        if not (self.directory / "metrics.jsonl").exists():
            return []
        return [row for row in read_metrics(self.directory) if row["kind"] == kind]

    def wait_for(self, condition: Callable[[], Any], seconds: float = 180.0) -> Any:
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)
        return value

    def finish(self, seconds: float = 300.0) -> tuple[int, dict[str, Any], str]:
        """Wait for the end; return status, summary and errors."""
        output, errors = self.process.communicate(timeout=seconds)
        lines = output.splitlines()
        return self.process.returncode, json.loads(lines[-1]) if lines else {}, errors

    def address(self, name: str) -> str:
        """Return the URL of a role's endpoint, as the role logged it."""
        found = re.findall(rf"{name} .*are at (http://\S+)", self.log())
        return found[-1]

    def is_ready(self, name: str) -> bool:
        """Return whether a role tells where its endpoint is, and is ready there."""
        try:
            with urllib.request.urlopen(self.address(name) + "/readyz", timeout=30):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except (IndexError, OSError):  # it has not told yet, or does not answer
            return False

    def log(self) -> str:
        path = self.directory / "processes" / "logs" / "all.log"
        return path.read_text() if path.exists() else "(no log yet)"


def check_endpoint(name: str, address: str) -> None:
    """What every role tells: that it lives, that it is ready, its state and its metrics."""

    def ask(path: str) -> str:
        with urllib.request.urlopen(address + path, timeout=30) as answer:
            return answer.read().decode()

    assert ask("/healthz") == "alive\n"
    assert ask("/readyz") == "ready\n"
    status = json.loads(ask("/status"))
    assert (status["role"], status["ready"]) == (name, True)
    metrics = {family.name for family in text_string_to_metric_families(ask("/metrics"))}
    assert METRICS[name.split("-")[0]] in metrics
    assert "process_resident_memory_bytes" in metrics


def _command(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def _gone(pids: dict[str, int]) -> Callable[[], bool]:
    return lambda: not any(_command(pid) for pid in pids.values())


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_each_role_is_killed_in_turn_and_the_run_succeeds(tmp_path: Path) -> None:
    limit = 20_000
    run = Run(tmp_path, "--launch", "processes", stop={"environmentSteps": limit})
    run.wait_for(lambda: run.rows("evaluation") and run.rows("train"))
    pids = run.roles()
    assert sorted(pids) == ["actor-0", "actor-1", "evaluator", "learner", "replay"]
    for name, pid in pids.items():
        loaded = "tensorflow" in Path(f"/proc/{pid}/maps").read_text()
        assert loaded == (name == "replay"), f"TensorFlow in {name}: {loaded}"

    for name in pids:
        # One actor is enough to begin with; another one may still be starting.
        run.wait_for(lambda: run.is_ready(name))  # noqa: B023
        check_endpoint(name, run.address(name))

    for name in ("actor-0", "evaluator", "replay", "learner"):
        steps = run.rows("train")[-1]["environmentSteps"]
        os.kill(pids[name], signal.SIGKILL)
        run.wait_for(lambda: run.roles().get(name, pids[name]) != pids[name])  # noqa: B023
        # Training goes on with the new process.
        run.wait_for(lambda: run.rows("train")[-1]["environmentSteps"] > steps)  # noqa: B023
    status, summary, errors = run.finish()

    assert status == 0, errors + run.log()
    assert summary["state"] == "Succeeded"
    assert limit <= summary["environmentSteps"] <= limit + ACTORS * UNROLL * ENVIRONMENTS
    # The very parameters that are left behind were evaluated.
    assert run.rows("evaluation")[-1]["learnerSteps"] == summary["learnerSteps"]
    assert summary["episodeReturn"] == run.rows("evaluation")[-1]["episodeReturn"]
    assert parameters(run.directory)
    for name in ("actor-0", "evaluator", "replay", "learner"):
        assert f"{name} was ended by SIGKILL; it starts again" in run.log()
    assert _gone(pids)()


def test_an_interrupted_run_goes_on_in_one_process_and_back(tmp_path: Path) -> None:
    limit = 20_000
    run = Run(tmp_path, "--launch", "processes", stop={"environmentSteps": limit})
    run.wait_for(lambda: run.rows("train"))
    pids = run.roles()
    run.process.send_signal(signal.SIGINT)
    status, summary, errors = run.finish()
    assert status == 130, errors + run.log()
    assert (summary["state"], summary["reason"]) == ("Interrupted", "SIGINT")
    first = summary["environmentSteps"]
    assert 1_000 <= first < limit
    assert _gone(pids)()

    here = Run(tmp_path, "--resume", stop={"environmentSteps": first + 1_500})
    status, summary, errors = here.finish()
    assert status == 0, errors
    second = summary["environmentSteps"]
    assert second >= first + 1_500

    again = Run(
        tmp_path,
        "--resume",
        "--launch",
        "processes",
        stop={"learnerSteps": 10**6} | {"environmentSteps": second + 1_000},
    )
    status, summary, errors = again.finish()
    assert status == 0, errors + again.log()
    assert second + 1_000 <= summary["environmentSteps"]
    assert summary["environmentSteps"] <= second + 1_000 + ACTORS * UNROLL * ENVIRONMENTS
    assert NO_REPLAY in again.log()
    steps = [row["environmentSteps"] for row in again.rows("train")]
    assert steps == sorted(steps)


def test_nothing_is_left_when_the_launcher_is_killed(tmp_path: Path) -> None:
    run = Run(tmp_path, "--launch", "processes")
    run.wait_for(lambda: len(run.roles()) == 5)
    pids = run.roles()
    run.process.kill()
    run.process.communicate()
    _wait(_gone(pids), seconds=90.0)


def test_what_cannot_be_is_said_with_the_roles_last_words(tmp_path: Path) -> None:
    run = Run(tmp_path, "--launch", "processes", environment={"gymnasium": {"id": "NoSuch-v0"}})
    status, summary, errors = run.finish()
    assert status == 2
    assert summary["state"] == "Failed"
    assert "NoSuch" in errors
    assert "would not help" in errors
