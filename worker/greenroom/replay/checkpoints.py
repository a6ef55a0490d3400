"""Checkpoints of a replay server on disk: whole or absent, and never taken for another's.

Reverb writes its checkpoints itself, under a name of its own making, keeps one, and
restores tables as they were saved: a restored rate limiter can no longer be changed, and
one that is not what peers expect blocks them for good. So what it wrote is moved into a
folder here, beside a description of the tables that it holds::

    replay/
      .lock               held by the server that writes here, whose process id is in it
      writing/            where Reverb writes; what a killed process left is swept away
      000007/             the newest checkpoint
        manifest.json     tables, the learner's counts, the size of each file
        chunks.tfrecord   Reverb's own, whose records have check sums
        ...

Everything is flushed to the disk (fsync) before the folder gets its name, and the one
before it goes only then: a process may die at any moment.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from greenroom.errors import CheckpointError, ConfigurationError
from greenroom.replay.descriptions import Json, tables_from_json

logger = logging.getLogger(__name__)

MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
LOCK: Final = ".lock"
WRITING: Final = "writing"
FOLDER_NAME: Final = re.compile(r"\d{6,}")


@dataclass(frozen=True)
class ReplayCheckpoint:
    """A whole checkpoint.

    Attributes:
        path: its folder.
        written: when, in seconds since 1970.
        tables: description of the tables in it (`greenroom.replay.descriptions`).
        counts: the learner's ``learnerSteps`` and ``environmentSteps``, as it told them last
            before; empty if it never did.
    """

    path: Path
    written: float
    tables: Json
    counts: Mapping[str, int]


class ReplayCheckpoints:
    """The checkpoints of one replay server, whose directory is locked until this is closed.

        with closing(ReplayCheckpoints(directory)) as checkpoints:
            for checkpoint in checkpoints.whole():        # the newest first
                ...
            written = ...                                 # by Reverb, in checkpoints.writing
            checkpoints.take(written, tables, counts)

    Args:
        directory: where the folders are; made if absent.

    Attributes:
        directory: that, as an absolute path.
        writing: where Reverb is to write.

    Raises:
        CheckpointError: the directory cannot be written, or another process holds its lock.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.writing = self.directory / WRITING
        with ExitStack() as stack:
            # Before the sweep, which would take from another server what it is writing.
            stack.enter_context(_locked(self.directory))
            self.sweep()
            self._lock = stack.pop_all()

    def close(self) -> None:
        """Let another server write here; a killed process does so, too."""
        self._lock.close()

    def sweep(self) -> None:
        """Delete what was written and never taken.

        Raises:
            CheckpointError: the directory cannot be written.
        """
        with _disk_errors(self.directory):
            self.writing.mkdir(parents=True, exist_ok=True)
            for leftover in self.writing.iterdir():
                shutil.rmtree(leftover)

    def whole(self) -> Iterator[ReplayCheckpoint]:
        """Yield the checkpoints, newest first; damaged ones are passed over, with a warning.

        Raises:
            CheckpointError: the directory cannot be read.
        """
        for path in reversed(self._folders()):
            try:
                yield _read(path)
            except CheckpointError as error:
                logger.warning("replay checkpoint passed over: %s", error)

    def take(self, written: Path, tables: Json, counts: Mapping[str, int]) -> ReplayCheckpoint:
        """Make a checkpoint of what Reverb has written, then delete those before it.

        Args:
            written: the folder that Reverb made.
            tables: description of what is in it.
            counts: the learner's.

        Raises:
            CheckpointError: it is not there, or does not fit on the disk; earlier ones stand.
        """
        try:
            folders = self._folders()
            number = int(folders[-1].name) + 1 if folders else 1
            final = self.directory / f"{number:06d}"
            checkpoint = ReplayCheckpoint(final, time.time(), tables, dict(counts))
            _write_manifest(written, checkpoint)
            for path in (*written.iterdir(), written):
                _fsync(path)
            written.rename(final)
            _fsync(self.directory)
        except OSError as error:
            self.sweep()
            raise CheckpointError(
                f"A replay checkpoint must fit on the disk of {self.directory}. Got: {error}."
            ) from error
        for old in folders:
            shutil.rmtree(old, ignore_errors=True)  # what stays is tried again next time
        return checkpoint

    def _folders(self) -> list[Path]:
        with _disk_errors(self.directory):
            found = [path for path in self.directory.iterdir() if FOLDER_NAME.fullmatch(path.name)]
        return sorted(found, key=lambda path: int(path.name))


@contextmanager
def _disk_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            "Replay checkpoints need a directory that can be read, written and locked. "
            f"Got: {directory}: {error.strerror}."
        ) from error


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    with _disk_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / LOCK).open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                lock.seek(0)
                raise CheckpointError(
                    "Replay checkpoints are written by one server at a time. Got: "
                    f"{directory}, where process {lock.read().strip()} writes its own."
                ) from error
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield


def _write_manifest(folder: Path, checkpoint: ReplayCheckpoint) -> None:
    manifest = {
        "format": FORMAT,
        "written": checkpoint.written,
        "counts": checkpoint.counts,
        "tables": checkpoint.tables,
        "files": {path.name: path.stat().st_size for path in sorted(folder.iterdir())},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _read(path: Path) -> ReplayCheckpoint:
    """Read a manifest and compare the files' sizes with it.

    Reverb itself takes an empty file for an empty table, whose limiter still counts what
    is no longer there.
    """
    try:
        manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise CheckpointError(f"{path} must have format {FORMAT}. Got: {manifest['format']!r}.")
        tables_from_json(manifest["tables"])
        for name, size in manifest["files"].items():
            found = (path / name).stat().st_size
            if found != size:
                raise CheckpointError(f"{path / name} must have {size} bytes. Got: {found}.")
        counts = {name: int(count) for name, count in manifest["counts"].items()}
        return ReplayCheckpoint(path, float(manifest["written"]), manifest["tables"], counts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigurationError) as error:
        raise CheckpointError(f"{path / MANIFEST} must be readable. Got: {error!r}.") from error


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
