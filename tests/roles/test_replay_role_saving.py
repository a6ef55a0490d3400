"""The replay role's checkpoints, while it is killed and while its disk fails or hangs."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from replay_role_process import TABLE, count, insert, replay_at, running, write

from greenroom.launch.ports import ReservedPorts
from greenroom.replay.descriptions import tables_to_json
from greenroom.replay.tables import Fifo, RateLimiter, Table, Uniform
from greenroom.specs import ArraySpec


@pytest.mark.slow
def test_killed_at_any_moment_it_restores_a_whole_checkpoint(
    tmp_path: Path, ports: ReservedPorts
) -> None:
    # Large enough for some of the kills to meet a checkpoint that is being written.
    frame = ArraySpec((84, 84, 4), np.dtype(np.uint8))
    limiter = RateLimiter.min_size_only(1)
    table = Table("t", Uniform(), Fifo(), limiter, 1_000, signature={"x": frame})
    (tmp_path / "tables.json").write_text(json.dumps(tables_to_json([table])))
    arguments = ("--tables", str(tmp_path / "tables.json"))
    arguments += ("--checkpoint-directory", str(tmp_path / "replay"))
    arguments += ("--checkpoint-interval", "0.1")
    port, http_port = ports.take(), ports.take()
    frames = np.random.default_rng(0).integers(0, 256, (100, 84, 84, 4), np.uint8)
    surely_saved, unfinished = 0, 0
    for kill_after in (0.0, 0.03, 0.06, 0.1):
        log = tmp_path / "log"
        with running(log, (port, http_port), *arguments) as role, replay_at(port, table) as replay:
            role.wait_until_ready()
            assert role.status()["tables"]["t"]["inserts"] >= surely_saved
            assert count(role, "WARNING") == count(role, "ERROR") == 0
            writing, writer = tmp_path / "replay" / "writing", replay.writer()
            inserts, saves = {}, 0
            while saves < 2 or not list(writing.iterdir()):
                seen = role.status()["tables"]["t"]["inserts"]
                saves = count(role, "replay saved")
                inserts[saves] = seen
                write(writer, frames)
            time.sleep(kill_after)
            role.process.send_signal(signal.SIGKILL)
            assert role.end() == -signal.SIGKILL
            # The newest was begun when the one before it was done, and so after this was seen.
            surely_saved = max(seen for at, seen in inserts.items() if at <= saves - 2)
            unfinished += bool(list(writing.iterdir()))
    assert surely_saved > 0
    assert unfinished > 0, "no kill met a checkpoint that was being written"


@pytest.mark.slow
def test_a_checkpoint_that_fails_is_told_and_tried_again(
    tmp_path: Path, ports: ReservedPorts
) -> None:
    directory, port = tmp_path / "replay", ports.take()
    (tmp_path / "tables.json").write_text(json.dumps(tables_to_json([TABLE])))
    arguments = ("--tables", str(tmp_path / "tables.json"), "--checkpoint-interval", "0.5")
    arguments += ("--checkpoint-directory", str(directory))
    with running(tmp_path / "log", (port, ports.take()), *arguments) as role:
        role.wait_until_ready()
        (directory / "writing").rmdir()
        (directory / "writing").write_text("in the way")
        with replay_at(port) as replay:
            insert(replay, 1)
        role.wait_for_line("ERROR replay was not saved: Replay checkpoints need a directory that")
        assert role.ask("/readyz") == (200, "ready\n")
        assert "greenroom_replay_checkpoint_failures_total 0.0" not in role.ask("/metrics")[1]
        (directory / "writing").unlink()
        role.wait_for_line("replay saved")


# A disk that takes nothing while the file is there, and seconds in the place of minutes.
HANGING_DISK = """
import functools, os, pathlib, time
def fsync(descriptor, hanging=pathlib.Path({hanging!r}), fsync=os.fsync):
    while hanging.exists():
        time.sleep(0.05)
    fsync(descriptor)
os.fsync = fsync
import greenroom.roles.replay_saving
greenroom.roles.replay_saving.LONGEST_SECONDS = 9.0
import greenroom.roles.replay as role
role.Endpoint = functools.partial(role.Endpoint, stalled_seconds=6.0)
"""


@pytest.mark.slow
def test_a_checkpoint_that_hangs_is_left_to_whoever_probes(
    tmp_path: Path, ports: ReservedPorts
) -> None:
    hanging, port = tmp_path / "hanging", ports.take()
    (tmp_path / "tables.json").write_text(json.dumps(tables_to_json([TABLE])))
    arguments = ("--tables", str(tmp_path / "tables.json"), "--checkpoint-interval", "0.5")
    arguments += ("--checkpoint-directory", str(tmp_path / "replay"))
    before = HANGING_DISK.format(hanging=str(hanging))
    with (
        running(tmp_path / "log", (port, ports.take()), *arguments, before=before) as role,
        replay_at(port) as replay,
    ):
        role.wait_until_ready()
        hanging.touch()
        insert(replay, 1)
        role.wait_for("checkpoint", lambda: list((tmp_path / "replay" / "writing").iterdir()))
        began = time.monotonic()
        # Longer than the main loop may stand still: it turns, and a checkpoint may take its time.
        while time.monotonic() - began < 7.0:
            assert role.ask("/healthz") == (200, "alive\n")
            time.sleep(0.1)
        role.wait_for("end of patience", lambda: role.ask("/healthz")[0] == 503)
        role.wait_for_line("ERROR a checkpoint must be written within 9 s; the disk of")
        assert count(role, "ERROR") == 1
        status, why = role.ask("/readyz")
        assert status == 503
        assert f"the disk of {tmp_path / 'replay'} has not taken it, for" in why
        insert(replay, 2)  # peers are served all along
        hanging.unlink()
        role.wait_until_ready()
        role.wait_for("life", lambda: role.ask("/healthz") == (200, "alive\n"))
        role.wait_for_line("replay saved")
