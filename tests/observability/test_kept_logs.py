"""Logs that stay: one series over restarts, of bounded length, whatever the disk does."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from greenroom.errors import RunDirectoryError
from greenroom.observability import kept_logs as module
from greenroom.observability.kept_logs import KeptLog, KeptLogHandler, log_kept_by

logger = logging.getLogger("a.role")
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO (.*)")


@pytest.fixture(autouse=True)
def _everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def lines(path: Path) -> list[str]:
    """All that is kept, the older file first."""
    older = path.with_name(f"{path.name}.1")
    text = (older.read_text() if older.exists() else "") + path.read_text()
    return text.splitlines()


def test_ten_mebibytes_are_kept() -> None:
    assert module.KEPT_BYTES == 10 * 2**20


def test_the_newest_lines_are_kept_over_restarts_in_files_of_bounded_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_BYTES", 2_000)
    path = tmp_path / "logs" / "learner.log"
    for process in range(8):
        with log_kept_by(KeptLogHandler(KeptLog(path))):
            for number in range(25):
                logger.info("process %d line %d", process, number)
        assert sum(file.stat().st_size for file in path.parent.iterdir()) <= 2_000
    kept = [match[1] for match in map(LINE.fullmatch, lines(path)) if match]
    assert len(kept) == len(lines(path))
    written = [f"process {process} line {number}" for process in range(8) for number in range(25)]
    assert kept == written[-len(kept) :]
    assert len(kept) > 20
    logger.info("after the end")
    assert len(lines(path)) == len(kept)


def test_an_error_that_ends_a_role_is_its_last_word(tmp_path: Path) -> None:
    path = tmp_path / "learner.log"
    with pytest.raises(ZeroDivisionError), log_kept_by(KeptLogHandler(KeptLog(path))):
        _ = 1 // 0
    text = path.read_text()
    assert "ERROR integer division or modulo by zero\nTraceback" in text
    assert text.endswith("ZeroDivisionError: integer division or modulo by zero\n")


class Full:
    """A log on a disk that may be full."""

    def __init__(self, log: KeptLog) -> None:
        self.log = log
        self.is_full = False

    def append(self, text: str) -> None:
        if self.is_full:
            raise RunDirectoryError("no room")
        self.log.append(text)

    def close(self) -> None:
        self.log.close()


def test_what_a_full_disk_cost_is_said_when_there_is_room_again(tmp_path: Path) -> None:
    path = tmp_path / "learner.log"
    disk = Full(KeptLog(path))
    with log_kept_by(KeptLogHandler(disk)):  # type: ignore[arg-type]  # stands before a real one
        logger.info("first")
        with full(disk):
            for _ in range(3):
                logger.info("lost")
        logger.info("last")
    first, missing, last = lines(path)
    assert first.endswith("first")
    assert missing == "3 lines are missing here: dropped"
    assert last.endswith("last")


@contextmanager
def full(disk: Full) -> Iterator[None]:
    disk.is_full = True
    yield
    disk.is_full = False


def test_a_log_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file in its place")
    with pytest.raises(RunDirectoryError, match="Got: File exists"):
        KeptLog(tmp_path / "logs" / "learner.log")
