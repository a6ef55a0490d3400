"""Checkpoints: whole or absent, verified, the newest few kept."""

from __future__ import annotations

import json
import logging
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from greenroom.errors import CheckpointError, CheckpointMismatch
from greenroom.learning.checkpoints import CheckpointStore
from greenroom.learning.states import read_state, write_state

IDENTITY = {"agent": {"dqn": {"learningRate": 0.001}}, "seed": 0}


def store(directory: Path, keep: int = 3, identity: object = IDENTITY) -> CheckpointStore:
    assert isinstance(identity, dict)
    return CheckpointStore(directory, keep, identity)


def save(checkpoints: CheckpointStore, step: int) -> Path:
    state = {"value": torch.full((1000,), float(step)), "step": step}
    return checkpoints.save({"learner": state}, environment_steps=step, learner_steps=step // 2)


def test_state_round_trip_is_exact(tmp_path: Path) -> None:
    state = {
        "numbers": {"float": 0.1, "big": 2**127 + 1, "nan": float("nan"), "none": None},
        "list": [1, 2.5, "three"],
        "keys": np.array([2**64 - 1, 0], np.uint64),
        "empty": np.zeros((0, 3), np.float32),
        "flags": np.array([True, False]),
        "scalar": torch.tensor(3.5),
        "half": torch.randn(5).bfloat16(),
        "generator": torch.Generator().manual_seed(1).get_state(),
    }

    write_state(tmp_path, "part", state)
    read = read_state(tmp_path, "part")

    assert read["numbers"]["big"] == 2**127 + 1
    assert read["numbers"]["float"] == 0.1
    assert np.isnan(read["numbers"]["nan"])
    assert read["list"] == [1, 2.5, "three"]
    for name in ("keys", "empty", "flags"):
        assert read[name].dtype == state[name].dtype  # type: ignore[attr-defined]
        np.testing.assert_array_equal(read[name], state[name])
    for name in ("scalar", "half", "generator"):
        assert read[name].dtype == state[name].dtype  # type: ignore[attr-defined]
        assert torch.equal(read[name], state[name])  # type: ignore[arg-type]


def test_a_leaf_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="part/leaf"):
        write_state(tmp_path, "x", {"part": {"leaf": object()}})


def test_the_newest_is_loaded_and_the_oldest_leave(tmp_path: Path) -> None:
    checkpoints = store(tmp_path, keep=2)
    for step in (10, 20, 30):
        save(checkpoints, step)

    newest = checkpoints.load_newest()

    assert newest.counts == {"environmentSteps": 30, "learnerSteps": 15}
    assert newest.parts["learner"]["step"] == 30
    assert torch.equal(newest.parts["learner"]["value"], torch.full((1000,), 30.0))
    assert [path.name for path in checkpoints.folders()] == ["000001-step-20", "000002-step-30"]


@pytest.mark.parametrize("damage", ["flip a byte", "cut short", "remove a file", "bad manifest"])
def test_a_damaged_newest_falls_back_with_a_warning(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = store(tmp_path)
    save(checkpoints, 10)
    newest = save(checkpoints, 20)
    arrays = newest / "learner.safetensors"
    content = bytearray(arrays.read_bytes())
    if damage == "flip a byte":
        content[-1] ^= 1
        arrays.write_bytes(content)
    elif damage == "cut short":
        arrays.write_bytes(content[: len(content) // 2])
    elif damage == "remove a file":
        (newest / "learner.json").unlink()
    else:
        (newest / "manifest.json").write_text('{"format": 1')

    with caplog.at_level(logging.WARNING):
        loaded = checkpoints.load_newest()

    assert loaded.parts["learner"]["step"] == 10
    assert str(newest) in caplog.text


def test_without_a_whole_one_resuming_is_refused(tmp_path: Path) -> None:
    checkpoints = store(tmp_path)
    with pytest.raises(CheckpointError, match="none at all"):
        checkpoints.load_newest()
    (save(checkpoints, 10) / "learner.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"learner\.json"):
        checkpoints.load_newest()


def test_another_experiments_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    save(store(tmp_path), 10)
    other = {"agent": {"dqn": {"learningRate": 0.5}}, "seed": 0}
    with pytest.raises(
        CheckpointMismatch, match=r"spec\.agent\.dqn\.learningRate is 0\.001 .* and 0\.5 here"
    ):
        store(tmp_path, identity=other).load_newest()


def test_edited_hyperparameters_are_told_where_edits_are_allowed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(store(tmp_path), 10)
    other = {"agent": {"dqn": {"learningRate": 0.5}}, "seed": 0}
    with caplog.at_level("INFO"):
        CheckpointStore(tmp_path, 3, other, edits=True).load_newest()
    assert "spec.agent.dqn.learningRate is 0.001 in the checkpoint and 0.5 here" in caplog.text


@pytest.mark.parametrize(
    "other",
    [{"agent": {"impala": {}}, "seed": 0}, {"agent": IDENTITY["agent"], "seed": 1}],
    ids=["agent", "seed"],
)
def test_another_run_is_refused_even_where_edits_are_allowed(
    other: dict[str, object], tmp_path: Path
) -> None:
    save(store(tmp_path), 10)
    with pytest.raises(CheckpointMismatch, match="belongs to another experiment"):
        CheckpointStore(tmp_path, 3, other, edits=True).load_newest()


def test_what_was_not_finished_is_swept_away(tmp_path: Path) -> None:
    save(store(tmp_path), 10)
    unfinished = tmp_path / ".writing-000001-step-20"
    unfinished.mkdir()
    (unfinished / "learner.json").write_text("{")

    checkpoints = store(tmp_path)

    assert not unfinished.exists()
    assert checkpoints.load_newest().parts["learner"]["step"] == 10


def test_a_full_disk_is_said_and_leaves_the_earlier_one(tmp_path: Path) -> None:
    """The process may write files of 20 KB at most: a real error of a real write."""
    program = f"""
import numpy as np, resource
from pathlib import Path
from greenroom.learning.checkpoints import CheckpointStore
store = CheckpointStore(Path({str(tmp_path)!r}), 3, {{}})
store.save({{"learner": {{"value": np.ones(10)}}}}, environment_steps=1, learner_steps=1)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    store.save({{"learner": {{"value": np.ones(10_000)}}}}, environment_steps=2, learner_steps=2)
except Exception as error:
    print(type(error).__name__, error)
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("CheckpointError")
    assert "000000-step-1" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["000000-step-1"]


def test_a_directory_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    checkpoints = store(tmp_path / "checkpoints")
    (tmp_path / "checkpoints").rmdir()
    (tmp_path / "checkpoints").write_text("no directory")
    for use in (lambda: save(checkpoints, 10), checkpoints.load_newest, checkpoints.folders):
        with pytest.raises(CheckpointError, match=r"can be read\. Got: .*: Not a directory\."):
            use()


def test_the_manifest_is_plain_json(tmp_path: Path) -> None:
    path = save(store(tmp_path), 10)
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["counts"] == {"environmentSteps": 10, "learnerSteps": 5}
    assert set(manifest["files"]) == {"learner.json", "learner.safetensors"}
