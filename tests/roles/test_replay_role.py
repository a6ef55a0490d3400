"""The replay role as a process, with the real Reverb server in it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from learner_tools import running as learner_at
from prometheus_client.parser import text_string_to_metric_families
from replay_role_process import TABLE, Role, insert, learner, replay_at, running

from greenroom.launch.ports import LOOPBACK, ReservedPorts
from greenroom.replay.descriptions import tables_to_json
from greenroom.replay.tables import RateLimiter

NONE = {"ageSeconds": 0.0}


def test_replay_lives_through_what_happens_to_a_run(tmp_path: Path, ports: ReservedPorts) -> None:
    directory, log = tmp_path / "replay", tmp_path / "replay.log"
    port, http_port, learner_port = (ports.take() for _ in range(3))
    url = f"http://{LOOPBACK}:{learner_port}/tables"
    arguments = ("--tables", url, "--checkpoint-directory", str(directory))
    first = {"learnerSteps": 500, "environmentSteps": 1000}

    # --- it waits for the learner; it saves at an interval what has changed ---
    with running(log, (port, http_port), *arguments, "--checkpoint-interval", "1s") as role:
        why = f"waiting for tables: {url} does not answer: Connection refused, for"
        role.wait_for("reason", lambda: why in role.ask("/readyz")[1])
        assert role.ask("/readyz")[0] == 503
        assert role.ask("/healthz") == (200, "alive\n")
        with learner(learner_port, TABLE, first):
            role.wait_until_ready()
            assert role.status()["checkpoint"] is None
            with replay_at(port) as replay:
                insert(replay, 1, 2, 3, 4)
                assert set(replay.sampler("t").sample(3, timeout=30.0).data["x"]) <= {1, 2, 3, 4}
            # Nothing changes any more, so the newest checkpoint grows older than the interval, and
            # no other one is being written: else that would be the first with what was sampled.
            role.wait_for(
                "pause",
                lambda: (
                    (role.status()["checkpoint"] or NONE)["ageSeconds"] > 4
                    and not list((directory / "writing").iterdir())
                ),
            )
            status = role.status()
            checkpoint, saved = status["checkpoint"], status["tables"]["t"]
            assert checkpoint.items() >= first.items()
            assert status["restored"] is None
            check_metrics(role, saved)
            role.check_that_it_keeps_the_secret()
            check_second(tmp_path, port, ports.take())
            check_second_in_directory(tmp_path, (ports.take(), ports.take()), directory, role)
        role.process.send_signal(signal.SIGKILL)
        assert role.end() == -signal.SIGKILL

    # --- killed, and the learner is down: it serves what was saved, from its copy ---
    with running(log, (port, http_port), *arguments) as role, replay_at(port) as replay:
        role.wait_until_ready()
        role.wait_for_line("starting with the copy of the learner's tables")
        status = role.status()
        restored = status["restored"]
        assert restored["path"] == checkpoint["path"]
        assert restored["belongs"] is None
        assert status["checkpoint"]["path"] == checkpoint["path"]
        assert status["tables"]["t"].items() >= {**saved, "workerSeconds": ANY}.items()
        with learner(learner_port, TABLE, {"learnerSteps": 510, "environmentSteps": 1020}):
            role.wait_for_line("WARNING restored replay belongs to learner step 500")
        assert role.status()["restored"]["belongs"] == (
            "restored replay belongs to learner step 500, environment step 1000; "
            "the learner is at learner step 510, environment step 1020"
        )
        insert(replay, 5)
        role.process.terminate()
        assert role.end() == 0
        assert "stopping: SIGTERM" in role.log.read_text()
        assert role.lines()[-1] == "imported: tensorflow"

    # --- ended: what came after the checkpoint was saved; other tables win over the copy ---
    changed = replace(TABLE, limiter=RateLimiter.min_size_only(1))
    with running(log, (port, http_port), *arguments) as role:
        role.wait_until_ready()
        status = role.status()
        assert status["tables"]["t"]["size"] == 5
        assert status["restored"]["learnerSteps"] == 510  # the learner was gone already
        with learner(learner_port, changed, {}):
            line = role.wait_for_line("the learner describes other tables than are served")
            assert "table 't'.limiter.minSize was 2, is 1" in line
            role.wait_for_line("replay starts empty: checkpoint")
            role.wait_until_ready()
        table = role.status()["tables"]["t"]
        assert (table["size"], table["limiter"]["minSize"]) == (0, 1)
        assert (table["limiter"]["minDiff"], table["limiter"]["maxDiff"]) == (None, None)
        assert role.process.stdin is not None
        role.process.stdin.close()
        assert role.end() == 0
        assert "stopping: standard input was closed" in role.log.read_text()
    check_lines(role.lines())


def check_metrics(role: Role, table: Mapping[str, Any]) -> None:
    """What Prometheus reads is what the status says."""
    _, text = role.ask("/metrics")
    found = {
        (sample.name.removeprefix("greenroom_replay_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert (table["inserts"], table["size"], table["deletes"]) == (4, 4, 0)
    assert table["samples"] >= 3
    assert table["samplesPerInsert"] == table["samples"] / 4
    limiter = table["limiter"]
    assert limiter["diff"] == 2.0 * 4 - table["samples"]
    expected = {
        ("inserts_total", "t"): 4,
        ("samples_total", "t"): table["samples"],
        ("deletes_total", "t"): 0,
        ("items", "t"): 4,
        ("max_items", "t"): 10,
        ("limiter_samples_per_insert", "t"): 2.0,
        ("limiter_min_items", "t"): 2,
        ("limiter_diff", "t"): limiter["diff"],
        ("limiter_min_diff", "t"): -2.0,
        ("limiter_max_diff", "t"): 10.0,
        ("checkpoint_failures_total",): 0,
    }
    assert found.items() >= expected.items()
    assert found[("worker_seconds_total", "sleeping", "t")] > 0.0
    assert abs(found[("checkpoint_timestamp_seconds",)] - time.time()) < 60.0
    assert found[("process_resident_memory_bytes",)] > 1e8


def check_second(tmp_path: Path, port: int, http_port: int) -> None:
    """A second replay on the port is refused instead of sharing it."""
    file = tmp_path / "tables.json"
    file.write_text(json.dumps(tables_to_json([TABLE])))
    with running(tmp_path / "second.log", (port, http_port), "--tables", str(file)) as second:
        assert second.end() == 1
        assert (
            f"The replay server needs a port of its own. Got: {port}, which another process "
            "listens on." in second.log.read_text()
        )


def check_second_in_directory(
    tmp_path: Path, ports: tuple[int, int], directory: Path, first: Role
) -> None:
    """A second replay in the directory is refused, and what the first has there stays."""
    held = sorted(directory.iterdir())
    arguments = ("--tables", str(tmp_path / "tables.json"), "--checkpoint-directory")
    with running(tmp_path / "second.log", ports, *arguments, str(directory)) as second:
        assert second.end() == 1
        assert (
            "Replay checkpoints are written by one server at a time. Got: "
            f"{directory}, where process {first.process.pid} writes its own."
            in second.log.read_text()
        )
        assert second.lines()[-1] == "imported:"
    assert sorted(directory.iterdir()) == held


def check_lines(lines: list[str]) -> None:
    """Every line is one of the log: neither Reverb nor TensorFlow adds to it."""
    assert lines.pop() == "imported: tensorflow"
    for line in lines:
        clock, level, _ = line.split(" ", 2)
        assert time.strptime(clock, "%H:%M:%S")
        assert level in ("INFO", "WARNING")


@pytest.mark.slow
def test_its_log_goes_to_the_learner_and_it_can_be_stopped_while_it_waits_for_tables(
    tmp_path: Path, ports: ReservedPorts
) -> None:
    url = f"http://{LOOPBACK}:{ports.take()}/tables"
    kept: list[tuple[str, str]] = []
    with learner_at(tmp_path, keep_log=lambda *lines: kept.append(lines)) as service:
        arguments = ("--tables", url, "--ship-logs", "--learner", service.client.address)
        ports_of_it = (ports.take(), ports.take())
        with running(tmp_path / "log", ports_of_it, *arguments) as role:
            role.wait_for_line("waiting for tables")
            role.wait_for("log at the learner", lambda: kept)
            assert "\ngreenroom_log_dropped_bytes_total 0.0\n" in role.ask("/metrics")[1]
            role.process.terminate()
            assert role.end() == 0
            assert role.lines()[-1] == "imported: tensorflow"
    lines = "".join(text for _, text in kept).splitlines()
    assert {name for name, _ in kept} == {"replay"}
    assert any("INFO waiting for tables" in line for line in lines)


def test_help_loads_nothing(tmp_path: Path, ports: ReservedPorts) -> None:
    with running(tmp_path / "log", (ports.take(), ports.take()), "--help") as role:
        assert role.end() == 0
        assert "Serve replay tables with Reverb." in role.log.read_text()
        assert role.lines()[-1] == "imported:"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tables", "absent.json"], "absent.json: No such file or directory"),
        (["--tables", "bad.json"], "bad.json: tables[0] must be an object with the fields name"),
        (["--tables", "text.txt"], "text.txt: Expecting value"),
        (["--tables", "absent.json", "--port", "0"], "Reverb hangs on 0 instead of choosing one."),
        (["--tables", "absent.json", "--checkpoint-interval", "0"], "longer than 0 s. Got: 0."),
        (["--tables", "absent.json", "--checkpoint-interval", "5x"], "like 30s, 5m or 1h30m"),
        ([], "Missing option '--tables'"),
    ],
)
def test_wrong_usage_ends_with_status_2(
    tmp_path: Path,
    ports: ReservedPorts,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text('{"version": 1, "tables": [3]}')
    (tmp_path / "text.txt").write_text("tables")
    with running(tmp_path / "log", (ports.take(), ports.take()), *arguments) as role:
        assert role.end() == 2
        assert message in " ".join(role.log.read_text().replace("│", "").split())
        assert role.lines()[-1] == "imported:"
        assert "Traceback" not in role.log.read_text()
