"""Counts that outlive the learner: on the disk before they are acknowledged."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from greenroom.errors import RunDirectoryError
from greenroom.variables.counts import BASE, FORGOTTEN, ActorCounts, Counts, Key
from greenroom.variables.journal_lines import counts_to_lines, disk_errors, read_counts
from greenroom.variables.messages import ActorReport

logger = logging.getLogger(__name__)

COMPACT_LINES: Final = 10_000
"""So many lines more than there are incarnations, and the file is written anew."""

KEPT_INCARNATIONS: Final = 1_000
"""So many incarnations are told apart at least; of more, those that are silent longest are not."""

SILENT_SECONDS: Final = 600.0
"""An incarnation that has reported within this time is not forgotten."""

CLOSED: Final = -1
"""A descriptor that no file has."""


@dataclass
class _Pending:
    """A report on its way to the disk."""

    report: ActorReport
    done: bool = False
    new_episodes: int = 0
    fault: str | None = None
    refused: bool = False


class CountsJournal:
    """`Counts` in a file: a line of JSON for every report that changes something.

        with CountsJournal(run_directory / "counts.jsonl") as journal:
            journal.raise_to(environment_steps=12_000, episodes=80)     # a checkpoint's counts
            new_episodes = journal.record(report)                       # on the disk now
            journal.counts.total.environment_steps

    A line holds all that its incarnation has done, so that it makes earlier ones
    superfluous; the file is written anew, with one line for each incarnation, when it is
    opened and when it has grown by `COMPACT_LINES`. Its last line may be torn: nobody was
    told that it is there. Reports that come at the same time share a write and an fsync.

    Actors come and go under new names for as long as a run takes. Where there are more than
    `KEPT_INCARNATIONS`, those that have long been silent are added up when the file is
    written anew, and are not known any more: should one come back, its report is refused,
    since it would count again what is in the sum.

    Attributes:
        path: the file.
        counts: what is on the disk; to be read only.

    Raises:
        RunDirectoryError: the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts = Counts()
        self._file = CLOSED
        # When each incarnation reported last; since the journal was opened, it may have.
        self._heard: dict[Key, float] = {}
        self._queue: list[_Pending] = []
        self._queueing = threading.Lock()
        self._writing = threading.Lock()
        self.counts = read_counts(path)
        self._heard = dict.fromkeys(self.counts.newest, time.monotonic())
        with disk_errors(path):
            self._rewrite()
        self._found = self.counts.total
        self._found_base = self.counts.get(BASE) or ActorCounts()

    def __enter__(self) -> CountsJournal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def raise_to(self, environment_steps: int, episodes: int) -> None:
        """Count what a checkpoint has beyond what was here when the journal was opened.

        A run that went on without its journal (in one process) has its counts there. To be
        done before any actor reports: who dies between the two forgets what was reported.

        Raises:
            RunDirectoryError: it cannot be written; nothing has changed.
        """
        missing = ActorCounts(
            environment_steps=max(0, environment_steps - self._found.environment_steps),
            episodes=max(0, episodes - self._found.episodes),
        )
        with self._writing:
            base = self._found_base.plus(missing).join(self.counts.get(BASE) or ActorCounts())
            self._commit({BASE: base})

    def record(self, report: ActorReport) -> int:
        """Write a report to the disk, then count it; return how many of its episodes are new.

        Raises:
            RunDirectoryError: it cannot be written; it is not counted, and may come again.
            ValueError: it is of an incarnation that is forgotten; another must take its place.
        """
        pending = _Pending(report)
        with self._queueing:
            self._queue.append(pending)
        with self._writing:
            if not pending.done:  # by the thread that wrote before this one
                self._write_queue()
        if pending.refused:
            raise ValueError(
                "A report must come from an incarnation that was silent for less than "
                f"{SILENT_SECONDS:g} s, or from a new one. Got: {report.incarnation} of "
                f"{report.actor}, which was forgotten; an actor that is started again goes on."
            )
        if pending.fault is not None:
            raise RunDirectoryError(pending.fault)
        return pending.new_episodes

    def close(self) -> None:
        """Close the file; what was recorded is on the disk already."""
        with self._writing:
            self._replace_file(CLOSED)

    def _replace_file(self, file: int) -> None:
        old, self._file = self._file, file
        if old != CLOSED:
            os.close(old)

    def _write_queue(self) -> None:
        with self._queueing:
            queue, self._queue = self._queue, []
        changes: dict[Key, ActorCounts] = {}
        for pending in queue:
            key = pending.report.actor, pending.report.incarnation
            before = changes.get(key) or self.counts.get(key)
            pending.refused = before is None and self._may_be_forgotten(pending.report)
            if pending.refused:
                continue
            self._heard[key] = time.monotonic()
            after = ActorCounts.of(pending.report).join(before or ActorCounts())
            if after != before:
                changes[key] = after
            pending.new_episodes = after.episodes - (before.episodes if before else 0)
        try:
            self._commit(changes)
        except RunDirectoryError as error:
            for pending in queue:
                pending.fault = str(error)
        for pending in queue:
            pending.done = True

    def _may_be_forgotten(self, report: ActorReport) -> bool:
        """Whether a report of an unknown incarnation cannot be the first of a new one."""
        begun = report.allowed_steps or any(vars(ActorCounts.of(report)).values())
        return FORGOTTEN in self.counts.newest and bool(begun)

    def _commit(self, changes: Mapping[Key, ActorCounts]) -> None:
        """Write, flush to the disk, and only then count."""
        if not changes:
            return
        with disk_errors(self.path):
            # At the end of what is good: a write that failed, or one that the disk did not
            # confirm, is written over.
            self._write_at_end(counts_to_lines(changes))
        for key, counts in changes.items():
            self.counts.merge(key, counts)
        self._line_count += len(changes)
        if self._line_count >= self._rewrite_at:
            self._rewrite_or_warn()

    def _write_at_end(self, data: bytes) -> None:
        written = 0
        while written < len(data):
            written += os.pwrite(self._file, data[written:], self._end + written)
        os.fsync(self._file)
        self._end += len(data)

    def _rewrite_or_warn(self) -> None:
        try:
            with disk_errors(self.path):
                self._rewrite()
        except RunDirectoryError as error:
            self._rewrite_at += COMPACT_LINES
            logger.warning("The journal of counts stays long: %s", error)

    def _rewrite(self) -> None:
        """Put a new file in the place of the old one, with a line for each incarnation."""
        temporary = self.path.with_name(f".{self.path.name}.writing")
        # Only here do incarnations go, and their sum comes: both or neither are on the disk.
        forgotten = self._to_forget()
        counts = self.counts.without(forgotten) if forgotten else self.counts
        data = counts_to_lines(counts.newest)
        file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            with open(file, "wb", closefd=False) as whole:
                whole.write(data)
            os.fsync(file)
            temporary.replace(self.path)
        except OSError:
            os.close(file)
            temporary.unlink(missing_ok=True)
            raise
        self.counts = counts
        for key in forgotten:
            self._heard.pop(key, None)
        self._replace_file(file)
        self._end = len(data)
        self._line_count = len(self.counts.newest)
        self._rewrite_at = self._line_count + COMPACT_LINES
        _fsync_folder(self.path.parent)

    def _to_forget(self) -> list[Key]:
        incarnations = [key for key in self.counts.newest if key[0] != BASE[0]]
        now = time.monotonic()
        silent = sorted(
            (key for key in incarnations if now - self._heard[key] > SILENT_SECONDS),
            key=lambda key: self._heard[key],
        )
        return silent[: max(0, len(incarnations) - KEPT_INCARNATIONS)]


def reported_environment_steps(path: Path) -> int:
    """Return the environment steps in a journal that nobody has open; 0 if there is none.

    Raises:
        RunDirectoryError: the file cannot be read.
    """
    return read_counts(path).total.environment_steps


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
