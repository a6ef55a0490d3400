"""The Reverb server itself, in a process of its own, used by Reverb's official client."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from reverb_server import free_port

from greenroom.errors import CheckpointError
from greenroom.replay.checkpoints import ReplayCheckpoints
from greenroom.replay.descriptions import tables_to_json
from greenroom.replay.tables import (
    Fifo,
    Lifo,
    Prioritized,
    RateLimiter,
    Table,
    Uniform,
)
from greenroom.specs import ArraySpec

PEER = Path(__file__).with_name("replay_server_peer.py")
NUMBER = [ArraySpec((), np.dtype(np.float32))]
LIMITER = RateLimiter.sample_to_insert_ratio(2.0, min_size=2, error_buffer=6.0)
TABLE = Table("t", Uniform(), Fifo(), LIMITER, max_size=10, signature=NUMBER)
COUNTS = {"learnerSteps": 500, "environmentSteps": 1000}


class Peer:
    """A process of `replay_server_peer.py`; its methods are called as this object's."""

    def __init__(self, errors):
        self.errors = errors
        with errors.open("w") as file:
            self._process = subprocess.Popen(
                [sys.executable, PEER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                # A proxy of the network must not come between the server and itself.
                env=os.environ | {"http_proxy": "http://127.0.0.1:1"},
            )

    def __getattr__(self, name):
        def call(**arguments):
            answer = self.ask(name, **arguments)
            assert "error" not in answer, answer["error"]
            return answer["result"]

        return call

    def ask(self, name, **arguments):
        self._process.stdin.write(json.dumps([name, arguments]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"no answer to {name}: {self.errors.read_text()}"
        return json.loads(line)

    @property
    def pid(self):
        return self._process.pid

    def start(self, directory, *tables):
        self.ask("stop")
        # On a new port: clients of the process would call the server before on the old one.
        arguments = {"port": free_port(), "directory": str(directory)}
        answer = self.ask("start", tables=tables_to_json(tables), **arguments)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        assert self._process.wait(timeout=30) == 0


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    peer = Peer(tmp_path_factory.mktemp("peer") / "errors.txt")
    yield peer
    peer.close()


@pytest.fixture
def saved(peer, tmp_path):
    """A directory with the checkpoint of a table with 4 items, 3 times sampled."""
    started = peer.start(tmp_path, TABLE)
    assert started == {
        "log": ["INFO replay starts empty: there is no checkpoint to restore"],
        "restored": None,
    }
    peer.insert(table="t", values=[1, 2, 3, 4])
    peer.sample(table="t", count=3)
    assert Path(peer.checkpoint(counts=COUNTS)) == tmp_path / "000001"
    return tmp_path


def test_tables_are_configured_as_described(peer, tmp_path):
    signature = {"b": ArraySpec((None, 2), np.dtype(np.uint8)), "a": NUMBER}
    tables = [
        Table("one", Prioritized(0.5), Lifo(), LIMITER, 10, signature, max_times_sampled=3),
        # Equal selectors: one object in two tables would crash the server.
        Table("two", Prioritized(0.5), Lifo(), RateLimiter.min_size_only(1), 20, NUMBER),
        Table.queue("three", 8, NUMBER),
    ]
    peer.start(tmp_path, *tables)
    prioritized = ["prioritized", "{", "priority_exponent:", "0.5", "}"]
    lifo, fifo = ([f"{name}:", "true", "is_deterministic:", "true"] for name in ("lifo", "fifo"))
    number = "[TensorSpec(shape=(), dtype=tf.float32, name=None)]"
    assert peer.configuration() == {
        "one": {
            "sampler": prioritized,
            "remover": lifo,
            "max_size": 10,
            "max_times_sampled": 3,
            "max_diff": 10.0,
            "signature": f"{{'a': {number}, "
            "'b': TensorSpec(shape=(None, 2), dtype=tf.uint8, name=None)}",
        },
        "two": {
            "sampler": prioritized,
            "remover": lifo,
            "max_size": 20,
            "max_times_sampled": 0,
            "max_diff": sys.float_info.max,
            "signature": number,
        },
        "three": {
            "sampler": fifo,
            "remover": fifo,
            "max_size": 8,
            "max_times_sampled": 1,
            "max_diff": 8.0,
            "signature": number,
        },
    }


def test_a_restart_restores_items_and_the_limiters_counts(peer, saved):
    before = peer.info()["t"]
    assert (before["size"], before["inserts"], before["samples"]) == (4, 4, 3)
    peer.insert(table="t", values=[5])  # after the checkpoint: lost
    started = peer.start(saved, TABLE)
    assert started["restored"] == {"path": str(saved / "000001"), "counts": COUNTS}
    after = peer.info()["t"]
    for field in ("size", "max_size", "inserts", "samples", "deletes", "diff", "min_size"):
        assert after[field] == before[field], field
    assert (after["diff"], after["min_diff"], after["max_diff"]) == (5.0, -2.0, 10.0)
    assert set(peer.sample(table="t", count=7)) <= {1.0, 2.0, 3.0, 4.0}


def test_only_the_newest_checkpoint_is_kept(peer, saved):
    peer.insert(table="t", values=[5])
    assert Path(peer.checkpoint(counts={})) == saved / "000002"
    found = sorted(path.name for path in saved.iterdir())
    assert found == [".lock", "000002", "reverb.log", "writing"]
    assert not list((saved / "writing").iterdir())
    assert peer.start(saved, TABLE)["restored"]["counts"] == {}
    assert peer.info()["t"]["size"] == 5


def test_other_tables_start_empty_and_the_log_says_what_differs(peer, saved):
    limiter = RateLimiter.sample_to_insert_ratio(2.0, min_size=2, error_buffer=8.0)
    changed = replace(TABLE, limiter=limiter, sampler=Prioritized(0.6))
    started = peer.start(saved, changed, Table.queue("more", 8, NUMBER))
    assert started["restored"] is None
    (line,) = started["log"]
    assert f"WARNING replay starts empty: checkpoint {saved / '000001'} is of other tables" in line
    for change in (
        "table 't'.sampler.type was 'Uniform', is 'Prioritized'",
        "table 't'.limiter.maxDiff was 10.0, is 12.0",
        "table 't'.limiter.minDiff was -2.0, is -4.0",
        "table 'more' is new",
    ):
        assert change in line
    assert peer.configuration()["t"]["max_diff"] == 12.0
    assert peer.info()["t"]["inserts"] == 0
    # The old checkpoint stays until the new tables have one.
    assert (saved / "000001").exists()
    peer.checkpoint(counts={})
    assert peer.start(saved, TABLE)["restored"] is None


def test_a_half_written_checkpoint_is_swept_away(peer, saved):
    peer.stop()
    shutil.copytree(saved / "000001", saved / "writing" / "2026-01-01T00:00:00")
    (saved / "writing" / "2026-01-01T00:00:00" / "DONE").unlink()
    assert peer.start(saved, TABLE)["restored"]["path"] == str(saved / "000001")
    assert not list((saved / "writing").iterdir())


def test_a_directory_has_one_server_at_a_time(peer, saved):
    being_written = saved / "writing" / "2026-01-01T00:00:00"
    being_written.mkdir()
    told = rf"by one server at a time\. Got: {saved}, where process {peer.pid} writes its own\."
    with pytest.raises(CheckpointError, match=told):
        ReplayCheckpoints(saved)
    assert being_written.exists()
    peer.stop()
    with closing(ReplayCheckpoints(saved)):
        assert not being_written.exists()
        refused = peer.ask("start", tables=tables_to_json([TABLE]), port=1, directory=str(saved))
        assert f"where process {os.getpid()} writes its own" in refused["error"]
    assert peer.start(saved, TABLE)["restored"]["path"] == str(saved / "000001")


def cut(folder):
    with (folder / "items.tfrecord").open("r+b") as file:
        file.truncate(0)


def flip(folder):
    with (folder / "chunks.tfrecord").open("r+b") as file:
        file.seek(20)
        byte = file.read(1)[0]
        file.seek(20)
        file.write(bytes([byte ^ 0xFF]))


def forget(folder):
    (folder / "manifest.json").unlink()


def garble(folder):
    (folder / "manifest.json").write_text('{"format": 1, "tables": []}')


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (cut, "items.tfrecord must have"),
        (flip, "Reverb cannot read"),
        (forget, "manifest.json must be readable"),
        (garble, "manifest.json must be readable"),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_for_an_older_one(peer, saved, damage, told):
    peer.stop()
    shutil.copytree(saved / "000001", saved / "000002")
    damage(saved / "000002")
    started = peer.start(saved, TABLE)
    assert started["restored"]["path"] == str(saved / "000001")
    assert any("passed over" in line and told in line for line in started["log"])
    assert peer.info()["t"]["size"] == 4


def test_without_a_whole_checkpoint_replay_starts_empty(peer, saved):
    peer.stop()
    flip(saved / "000001")
    started = peer.start(saved, TABLE)
    assert started["restored"] is None
    assert peer.info()["t"]["inserts"] == 0
    assert Path(peer.checkpoint(counts={})) == saved / "000002"
    assert not (saved / "000001").exists()


def test_a_server_may_follow_another_on_its_port(peer, tmp_path):
    port = free_port()
    for size in (5, 6):
        peer.stop()
        tables = tables_to_json([replace(TABLE, max_size=size)])
        assert "result" in peer.ask("start", tables=tables, port=port, directory=str(tmp_path))
        assert peer.info()["t"]["max_size"] == size


def test_waits_are_told_by_which_side_is_held_back(peer, tmp_path):
    peer.start(tmp_path, TABLE, replace(TABLE, name="u"))
    peer.block(table="t", call="sample")
    peer.block(table="u", call="insert")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        info = peer.info()
        waits = {
            name: (table["insert_wait_seconds"], table["sample_wait_seconds"])
            for name, table in info.items()
        }
        if waits["t"][1] > 0.2 and waits["u"][0] > 0.2:
            break
        time.sleep(0.1)
    assert waits["t"][0] == 0.0
    assert waits["t"][1] > 0.2
    assert waits["u"][0] > 0.2
    assert waits["u"][1] == 0.0
    assert set(info["t"]["worker_seconds"]) == {
        "running",
        "sampling",
        "inserting",
        "sleeping",
        "waiting_for_sampling",
        "waiting_for_inserts",
    }


def test_a_port_that_is_not_free_is_an_error(peer):
    peer.stop()
    description = tables_to_json([TABLE])
    with socket.socket(socket.AF_INET6) as other:
        other.bind(("::", 0))
        other.listen()
        used = peer.ask("start", tables=description, port=other.getsockname()[1])
    assert used["error"].startswith("GreenroomError: A Reverb server must be able to listen on")


def test_without_a_directory_nothing_is_saved(peer):
    peer.stop()
    peer.ask("start", tables=tables_to_json([TABLE]), port=free_port())
    refused = peer.ask("checkpoint", counts={})
    assert refused["error"] == "CheckpointError: A replay checkpoint needs a directory. Got: none."


def test_what_reverb_prints_goes_to_its_own_file_one_checkpoint_at_a_time(peer, saved):
    first = (saved / "reverb.log").read_text()
    assert first.count("Stored checkpoint") == 1
    peer.checkpoint(counts={})
    second = (saved / "reverb.log").read_text()
    assert second.count("Stored checkpoint") == 1
    assert second != first
    assert "\0" not in second  # what is left of a file that was cut under its writer
    assert "tfrecord_checkpointer" not in peer.errors.read_text()


def test_the_directory_may_come_back(peer, saved):
    shutil.rmtree(saved)
    saved.write_text("no directory")
    refused = peer.ask("checkpoint", counts={})["error"]
    assert refused.startswith("CheckpointError: Replay checkpoints need a directory that can be")
    saved.unlink()
    assert Path(peer.checkpoint(counts={})) == saved / "000001"
    assert peer.start(saved, TABLE)["restored"]["path"] == str(saved / "000001")


def test_what_cannot_be_written_is_an_error_of_the_checkpoint(tmp_path):
    directory = tmp_path / "replay"
    with closing(ReplayCheckpoints(directory)) as checkpoints:
        with pytest.raises(CheckpointError, match="must fit on the disk of"):
            checkpoints.take(directory / "writing" / "absent", tables_to_json([TABLE]), {})
        shutil.rmtree(directory)
        with pytest.raises(CheckpointError, match="need a directory that can be read"):
            list(checkpoints.whole())
    directory.write_text("")
    with pytest.raises(CheckpointError, match="need a directory that can be read"):
        ReplayCheckpoints(directory)
    directory.unlink()
    directory.mkdir()
    (directory / "writing").write_text("in the way")
    with pytest.raises(CheckpointError, match="need a directory that can be read"):
        ReplayCheckpoints(directory)
    (directory / "writing").unlink()
    ReplayCheckpoints(directory).close()  # those that failed hold no lock


def test_a_missing_reverb_says_what_to_install():
    program = (
        "import sys; sys.modules['reverb'] = None\n"
        "from greenroom.errors import ConfigurationError\n"
        "try: import greenroom.replay.server\n"
        "except ConfigurationError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert "pip install 'greenroom[replay]'" in done.stdout
    assert "CPython 3.11 on Linux" in done.stdout
