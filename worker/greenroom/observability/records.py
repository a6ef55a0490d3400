"""The rows of a run: metrics.jsonl for programs, metrics.csv for tables, tensorboard/ for graphs.

A row is "train" (what training did since the last one) or "evaluation" (greedy
episodes), at a number of environment steps. All three files hold the same values; a
value that is not finite is recorded as absent.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from greenroom.errors import RunDirectoryError
from greenroom.observability.files import (
    AppendingFile,
    Scalar,
    disk_errors,
    plain_row,
    replace_text,
)
from greenroom.observability.run_directory import RunDirectory
from greenroom.observability.tensorboard import EventFile

# The columns of every row, in the order of the table; others follow as they appear.
KEY_FIELDS = ("kind", "environmentSteps", "learnerSteps", "wallSeconds")

# What differs between two runs of the same seed, and nothing else does.
WALL_CLOCK_FIELDS = ("wallSeconds", "environmentStepsPerSecond", "learnerStepsPerSecond")


class RunRecords:
    """Writes the rows of one run; each is with the operating system before `write` returns.

    Going on with a run, whose rows beyond its checkpoint are to be dropped::

        with RunRecords(run.path) as records:
            records.truncate_after(checkpoint.counts["environmentSteps"])
            records.write({"kind": "train", "environmentSteps": 13_000, "learnerSteps": 6_500,
                           "wallSeconds": 42.0, "loss": 0.12})

    Args:
        directory: the run directory, which exists. Rows already there are kept, but a
            last one that a killed process left torn.

    Raises:
        RunDirectoryError: the files cannot be read or written.
    """

    def __init__(self, directory: Path) -> None:
        run = RunDirectory(directory)
        self._jsonl_path = run.metrics_jsonl
        self._csv_path = run.metrics_csv
        self._tensorboard = run.tensorboard
        self._events: EventFile | None = None
        self._begin_from(_complete_rows(self._jsonl_path))

    def write(self, row: Mapping[str, Scalar]) -> None:
        """Write one row, by column: `KEY_FIELDS` and any others.

        Raises:
            RunDirectoryError: the disk is full, or the files have become unwritable.
        """
        assert all(name in row for name in KEY_FIELDS), f"missing of {KEY_FIELDS}: {row}"
        plain = plain_row(row)
        self._jsonl.append(_json_line(plain).encode())
        self._write_csv(plain)
        self._write_events(plain)

    def truncate_after(self, environment_steps: int, learner_steps: int | None = None) -> None:
        """Drop the rows of later steps from all three files.

        A row of exactly ``environment_steps`` stays, unless it has more learner steps
        than ``learner_steps``: training can go on learning without acting.

        Raises:
            RunDirectoryError: the files cannot be rewritten; they stand as they were.
        """
        rows = [
            row
            for row in _complete_rows(self._jsonl_path)
            if row["environmentSteps"] <= environment_steps
            and (learner_steps is None or row["learnerSteps"] <= learner_steps)
        ]
        self.close()
        self._begin_from(rows)
        self._events = EventFile(self._tensorboard, purge_step=environment_steps + 1)

    def close(self) -> None:
        """Close the files."""
        self._jsonl.close()
        self._csv.close()
        if self._events is not None:
            self._events.close()
            self._events = None

    def __enter__(self) -> RunRecords:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _begin_from(self, rows: list[dict[str, Any]]) -> None:
        """Make both tables hold exactly ``rows``, and open them for more.

        The table is always made from the lines, so that the two agree even where a
        process was killed between writing one and the other.
        """
        lines = "".join(map(_json_line, rows))
        if not self._jsonl_path.exists() or self._jsonl_path.read_bytes() != lines.encode():
            replace_text(self._jsonl_path, lines)
        self._columns = list(dict.fromkeys((*KEY_FIELDS, *(name for row in rows for name in row))))
        replace_text(self._csv_path, _csv_text(self._columns, rows))
        self._jsonl = AppendingFile(self._jsonl_path)
        self._csv = AppendingFile(self._csv_path)

    def _write_csv(self, row: dict[str, Scalar]) -> None:
        new = [name for name in row if name not in self._columns]
        if not new:
            self._csv.append(_csv_lines(self._columns, [row]).encode())
            return
        self._columns += new
        self._csv.close()
        # The row is among them: the lines were written first.
        replace_text(self._csv_path, _csv_text(self._columns, _complete_rows(self._jsonl_path)))
        self._csv = AppendingFile(self._csv_path)

    def _write_events(self, row: dict[str, Scalar]) -> None:
        """Write the row's numbers, tagged by kind: ``train/loss``, ``evaluation/episodeReturn``."""
        if self._events is None:
            self._events = EventFile(self._tensorboard)
        scalars = {
            f"{row['kind']}/{name}": value
            for name, value in row.items()
            if name != "environmentSteps" and isinstance(value, int | float)
        }
        steps = row["environmentSteps"]
        assert isinstance(steps, int), steps
        self._events.write(steps, scalars)


def read_metrics(run_directory: Path) -> list[dict[str, Any]]:
    """Return the rows of a run, oldest first, also while it is running.

    A last line that is not whole yet, or was torn, is left out.

    Raises:
        RunDirectoryError: it is no run, it has no metrics yet, or a line is not ours.
    """
    path = RunDirectory.open(run_directory).metrics_jsonl
    if not path.is_file():
        raise RunDirectoryError(f"A run has metrics once it has trained. Got: no {path}.")
    return _complete_rows(path)


def _complete_rows(path: Path) -> list[dict[str, Any]]:
    with disk_errors(path):
        text = path.read_bytes() if path.exists() else b""
    *lines, _torn = text.split(b"\n")
    return [_parse(path, number, line) for number, line in enumerate(lines, start=1)]


def _parse(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict) or not all(name in row for name in KEY_FIELDS):
        raise RunDirectoryError(
            f"Every line of {path.name} is a JSON object with {', '.join(KEY_FIELDS)}. "
            f"Got: line {number} of {path}: {line[:80]!r}."
        )
    return row


def _json_line(row: Mapping[str, Scalar]) -> str:
    return json.dumps(row, allow_nan=False) + "\n"


def _csv_text(columns: list[str], rows: Iterable[Mapping[str, Scalar]]) -> str:
    return _csv_lines(columns, [{name: name for name in columns}, *rows])


def _csv_lines(columns: list[str], rows: Iterable[Mapping[str, Scalar]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [row.get(name) for name in columns] for row in rows
    )
    return text.getvalue()
