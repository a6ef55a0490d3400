"""The rows of a run: three files that agree, whatever a process died of."""

from __future__ import annotations

import csv
import errno
import json
import os
import signal
import struct
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event, SessionLog

from greenroom.errors import RunDirectoryError
from greenroom.observability.files import AppendingFile
from greenroom.observability.records import (
    KEY_FIELDS,
    WALL_CLOCK_FIELDS,
    RunRecords,
    read_metrics,
)

Row = dict[str, Any]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "experiment.yaml").write_text("kind: RLExperiment\n")
    return tmp_path


def train(steps: int, **columns: Any) -> Row:
    learner_steps = columns.pop("learnerSteps", steps // 2)
    keys = {"environmentSteps": steps, "learnerSteps": learner_steps, "wallSeconds": steps / 1e3}
    return {"kind": "train", **keys, **columns}


def evaluation(steps: int, mean: float) -> Row:
    return {**train(steps), "kind": "evaluation", "episodeReturn": mean}


def read_csv(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def read_events(path: Path) -> Iterator[Event]:
    """Read TFRecords, checking both checksums of each."""

    def masked(data: bytes) -> int:
        crc = crc32c(data)
        return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

    data = path.read_bytes()
    while data:
        (length,) = struct.unpack_from("<Q", data)
        body = data[12 : 12 + length]
        assert struct.unpack_from("<I", data, 8) == (masked(data[:8]),)
        assert struct.unpack_from("<I", data, 12 + length) == (masked(body),)
        yield Event.FromString(body)
        data = data[16 + length :]


def event_files(run: Path) -> list[Path]:
    return sorted((run / "tensorboard").iterdir())


def test_rows_are_read_back_as_written(run: Path) -> None:
    rows = [train(1_000, loss=0.25, epsilon=1.0), evaluation(2_000, 9.5)]
    with RunRecords(run) as records:
        for row in rows:
            records.write(row)
            # Each is on its way to the disk at once.
            assert read_metrics(run)[-1] == row
    assert read_metrics(run) == rows


def test_numbers_are_exact(run: Path) -> None:
    value = 0.1 + 0.2
    with RunRecords(run) as records:
        records.write(train(1, loss=value))
    assert read_metrics(run)[0]["loss"] == value
    assert float(read_csv(run)[0]["loss"]) == value


def test_numpy_scalars_are_taken(run: Path) -> None:
    with RunRecords(run) as records:
        records.write(train(1, loss=np.float32(0.5), size=np.int64(7)))
    row = read_metrics(run)[0]
    assert (row["loss"], row["size"]) == (0.5, 7)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), None])
def test_what_is_no_number_is_absent(run: Path, value: float | None) -> None:
    with RunRecords(run) as records:
        records.write(train(1, loss=value))
    line = (run / "metrics.jsonl").read_text()
    assert json.loads(line, parse_constant=pytest.fail)["loss"] is None
    assert read_csv(run)[0]["loss"] == ""
    *_, event = read_events(event_files(run)[0])
    assert "train/loss" not in {value.tag for value in event.summary.value}


def test_the_header_of_the_table_grows(run: Path) -> None:
    with RunRecords(run) as records:
        records.write(train(1, loss=0.5))
        records.write(evaluation(2, 9.5))
        records.write(train(3, loss=0.25))
    rows = read_csv(run)
    assert list(rows[0]) == [*KEY_FIELDS, "loss", "episodeReturn"]
    assert [row["loss"] for row in rows] == ["0.5", "", "0.25"]
    assert [row["episodeReturn"] for row in rows] == ["", "9.5", ""]


def test_text_with_commas_and_quotes_stays_one_column(run: Path) -> None:
    with RunRecords(run) as records:
        records.write(train(1, note='a, "b"\nc'))
    assert read_csv(run)[0]["note"] == 'a, "b"\nc'
    assert read_metrics(run)[0]["note"] == 'a, "b"\nc'


def test_going_on_appends(run: Path) -> None:
    for steps in (1, 2, 3):
        with RunRecords(run) as records:
            records.write(train(steps, **{f"column{steps}": steps}))
    assert [row["environmentSteps"] for row in read_metrics(run)] == [1, 2, 3]
    assert [row["column1"] for row in read_csv(run)] == ["1", "", ""]
    assert len(event_files(run)) == 3


def test_truncating_drops_later_rows_everywhere(run: Path) -> None:
    with RunRecords(run) as records:
        for steps in (1_000, 2_000, 3_000, 4_000):
            records.write(train(steps, loss=1.0))
        records.write(train(5_000, late=1.0))
    with RunRecords(run) as records:
        records.truncate_after(3_000)
        records.write(train(3_500, loss=2.0))
    steps = [1_000, 2_000, 3_000, 3_500]
    assert [row["environmentSteps"] for row in read_metrics(run)] == steps
    table = read_csv(run)
    assert [int(row["environmentSteps"]) for row in table] == steps
    assert "late" not in table[0]
    _, start, row = read_events(event_files(run)[-1])
    assert (start.session_log.status, start.step) == (SessionLog.START, 3_001)
    assert row.step == 3_500


def test_learner_steps_decide_between_rows_of_equal_environment_steps(run: Path) -> None:
    with RunRecords(run) as records:
        records.write(train(1_000, learnerSteps=10))
        records.write(train(1_000, learnerSteps=20))
        records.truncate_after(1_000, 10)
    assert [row["learnerSteps"] for row in read_metrics(run)] == [10]


def test_truncating_again_changes_nothing(run: Path) -> None:
    with RunRecords(run) as records:
        records.write(train(1_000, loss=1.0))
        records.truncate_after(1_000)
        before = (run / "metrics.jsonl").read_bytes(), (run / "metrics.csv").read_bytes()
        records.truncate_after(1_000)
    assert ((run / "metrics.jsonl").read_bytes(), (run / "metrics.csv").read_bytes()) == before


@pytest.mark.parametrize("keep", [1, 20, 60])
def test_a_torn_last_line_is_left_out_and_then_dropped(run: Path, keep: int) -> None:
    with RunRecords(run) as records:
        records.write(train(1_000, loss=1.0))
    line = json.dumps(train(2_000, loss=1.0))
    with (run / "metrics.jsonl").open("a") as file:
        file.write(line[:keep])
    with (run / "metrics.csv").open("a") as file:
        file.write("train,20")
    assert [row["environmentSteps"] for row in read_metrics(run)] == [1_000]
    with RunRecords(run) as records:
        records.write(train(3_000, loss=1.0))
    assert [row["environmentSteps"] for row in read_metrics(run)] == [1_000, 3_000]
    assert [row["environmentSteps"] for row in read_csv(run)] == ["1000", "3000"]


def test_a_table_behind_the_lines_is_made_anew(run: Path) -> None:
    with RunRecords(run) as records:
        records.write(train(1_000))
    (run / "metrics.csv").unlink()
    RunRecords(run).close()
    assert [row["environmentSteps"] for row in read_csv(run)] == ["1000"]


def test_a_killed_process_loses_at_most_the_row_it_was_writing(run: Path) -> None:
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        sys.modules["torch"] = None  # slow to import, and not needed
        from greenroom.observability.records import RunRecords
        records = RunRecords(Path(sys.argv[1]))
        step = 0
        while True:
            step += 1
            keys = {"environmentSteps": step, "learnerSteps": 0, "wallSeconds": 0.0}
            records.write({"kind": "train", **keys, f"column{step % 7}": 0.5})
            if step % 50 == 0:
                print(step, flush=True)
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(run)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(5)][-1]
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    rows = read_metrics(run)
    assert [row["environmentSteps"] for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) >= told
    RunRecords(run).close()
    assert len(read_csv(run)) == len(rows)


def full_disk(path_part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let writes to files whose path holds ``path_part`` fail after some bytes."""
    real_write = os.write

    def write(descriptor: int, data: memoryview) -> int:
        if path_part not in os.readlink(f"/proc/self/fd/{descriptor}"):
            return real_write(descriptor, data)
        if len(data) > 10:
            return real_write(descriptor, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", write)


@pytest.mark.parametrize("name", ["metrics.jsonl", "metrics.csv", "tensorboard"])
def test_a_full_disk_is_told_and_leaves_whole_rows(
    run: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunRecords(run) as records:
        records.write(train(1_000, loss=1.0))
        with monkeypatch.context() as context:
            full_disk(name, context)
            with pytest.raises(RunDirectoryError, match=rf"No space left.*ENOSPC.*{name}"):
                records.write(train(2_000, loss=1.0))
        records.write(train(3_000, loss=1.0))
    assert (run / "metrics.jsonl").read_bytes().endswith(b"\n")
    assert read_metrics(run)[-1]["environmentSteps"] == 3_000
    assert read_csv(run)[-1]["environmentSteps"] == "3000"
    assert [event.step for event in read_events(event_files(run)[0])][-1] == 3_000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_device_without_room_is_told() -> None:
    file = AppendingFile(Path("/dev/full"))
    with pytest.raises(RunDirectoryError, match=r"ENOSPC.*/dev/full"):
        file.append(b"record")
    file.close()


def test_events_hold_the_scalars_by_environment_step(run: Path) -> None:
    with RunRecords(run) as records:
        records.write(train(1_000, loss=0.5))
        records.write(evaluation(2_000, 9.5))
    version, first, second = read_events(event_files(run)[0])
    assert version.file_version == "brain.Event:2"
    assert first.step == 1_000
    assert {value.tag: value.simple_value for value in first.summary.value}["train/loss"] == 0.5
    assert second.step == 2_000
    tags = {value.tag: value.simple_value for value in second.summary.value}
    assert tags["evaluation/episodeReturn"] == 9.5
    assert "evaluation/kind" not in tags


def test_tensorflow_is_not_needed(run: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "sys.modules['torch'] = None  # slow to import, and not needed\n"
        "from greenroom.observability.records import RunRecords\n"
        "RunRecords(Path(sys.argv[1])).close()\n"
        "assert not {'tensorflow', 'tensorboard', 'matplotlib'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(run)], check=True)


def test_wall_clock_columns_are_named() -> None:
    assert WALL_CLOCK_FIELDS == (
        "wallSeconds",
        "environmentStepsPerSecond",
        "learnerStepsPerSecond",
    )


def test_a_line_that_is_not_ours_is_named(run: Path) -> None:
    (run / "metrics.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(RunDirectoryError, match=r"Got: line 1 of .*metrics\.jsonl"):
        read_metrics(run)


def test_reading_needs_a_run_with_metrics(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"experiment\.yaml"):
        read_metrics(tmp_path)
    (tmp_path / "experiment.yaml").write_text("kind: RLExperiment\n")
    with pytest.raises(RunDirectoryError, match="once it has trained"):
        read_metrics(tmp_path)
