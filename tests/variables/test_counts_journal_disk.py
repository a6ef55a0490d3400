"""Counts are on the disk before they are acknowledged, whatever the disk does."""

import errno
import os
import threading
import time

import pytest
from learner_tools import full_disk, make_report

from greenroom.errors import RunDirectoryError
from greenroom.variables.counts import ActorCounts
from greenroom.variables.journal import CountsJournal


def test_a_torn_last_line_is_passed_over(tmp_path):
    path = tmp_path / "counts.jsonl"
    with CountsJournal(path) as journal:
        journal.record(make_report(environment_steps=10))
        journal.record(make_report(environment_steps=20))
    path.write_bytes(path.read_bytes()[:-5])
    with CountsJournal(path) as journal:
        assert journal.counts.total.environment_steps == 10
        journal.record(make_report(environment_steps=20))
    with CountsJournal(path) as journal:
        assert journal.counts.total.environment_steps == 20


def test_a_damaged_line_costs_only_itself_and_is_told(tmp_path, caplog):
    path = tmp_path / "counts.jsonl"
    with CountsJournal(path) as journal:
        for steps in (10, 20, 30):
            journal.record(make_report(environment_steps=steps))
        journal.record(make_report("actor-1", environment_steps=5))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = b"\x00" + lines[1][1:]
    path.write_bytes(b"".join(lines))
    with CountsJournal(path) as journal:
        assert journal.counts.total.environment_steps == 35
    assert "counts.jsonl, line 2, is passed over" in caplog.text


def test_a_report_that_does_not_fit_on_the_disk_is_not_counted(tmp_path):
    with CountsJournal(tmp_path / "counts.jsonl") as journal:
        journal.record(make_report(environment_steps=10))
        with full_disk(journal), pytest.raises(RunDirectoryError) as raised:
            journal.record(make_report(environment_steps=20))
        assert "Got: No space left on device at " in str(raised.value)
        assert "counts.jsonl" in str(raised.value)
        assert journal.counts.total.environment_steps == 10
        journal.record(make_report(environment_steps=20))
        assert journal.counts.total.environment_steps == 20


def test_a_report_that_is_not_flushed_to_the_disk_is_not_counted(tmp_path, monkeypatch):
    path = tmp_path / "counts.jsonl"
    with CountsJournal(path) as journal:
        flushed = os.fsync

        def fail(descriptor):
            assert os.fstat(descriptor).st_size > 0, "the line is written before it is flushed"
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(RunDirectoryError, match="Input/output error"):
            journal.record(make_report(environment_steps=10, episodes=10**9))
        assert journal.counts.total.environment_steps == 0
        monkeypatch.setattr(os, "fsync", flushed)
        journal.record(make_report(environment_steps=11))
    # The kernel may have dropped the pages of the failed flush: the line is written over.
    with CountsJournal(path) as journal:
        assert journal.counts.total == ActorCounts(environment_steps=11)


def test_a_write_that_was_cut_is_written_over(tmp_path, monkeypatch):
    path = tmp_path / "counts.jsonl"
    written = os.pwrite

    def write_some(descriptor, data, offset):
        if offset:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written(descriptor, data[:30], offset)

    with CountsJournal(path) as journal:
        monkeypatch.setattr(os, "pwrite", write_some)
        with pytest.raises(RunDirectoryError, match="No space left"):
            journal.record(make_report(environment_steps=10))
        assert path.stat().st_size == 30
        monkeypatch.setattr(os, "pwrite", written)
        journal.record(make_report(environment_steps=20))
    assert len(path.read_bytes().splitlines()) == 1
    with CountsJournal(path) as journal:
        assert journal.counts.total.environment_steps == 20


def test_a_report_that_changes_nothing_needs_no_disk(tmp_path):
    with CountsJournal(tmp_path / "counts.jsonl") as journal:
        journal.record(make_report(environment_steps=10))
        with full_disk(journal):
            journal.record(make_report(environment_steps=10))
            journal.record(make_report(environment_steps=5))


def test_a_journal_that_is_closed_takes_no_report(tmp_path):
    journal = CountsJournal(tmp_path / "counts.jsonl")
    journal.close()
    with pytest.raises(RunDirectoryError, match="Bad file descriptor"):
        journal.record(make_report(environment_steps=1))
    journal.close()


@pytest.mark.parametrize("damage", ["a folder in its place", "no folder to be in"])
def test_a_journal_that_cannot_be_opened_says_why(tmp_path, damage):
    path = tmp_path / "counts.jsonl"
    if damage == "a folder in its place":
        path.mkdir()
    else:
        path = tmp_path / "missing" / "counts.jsonl"
    with pytest.raises(RunDirectoryError, match=rf"must be on the disk .* Got: .* at {path}"):
        CountsJournal(path)


def test_reports_at_the_same_time_share_a_flush_and_none_is_lost(tmp_path, monkeypatch):
    flushes = []
    flush = os.fsync

    def slow(descriptor):
        flushes.append(descriptor)
        time.sleep(0.02)
        flush(descriptor)

    path = tmp_path / "counts.jsonl"
    with CountsJournal(path) as journal:
        monkeypatch.setattr(os, "fsync", slow)
        new_episodes = []
        together = threading.Barrier(8)

        def act(actor):
            together.wait(timeout=30)
            for steps in range(1, 6):
                report = make_report(actor, environment_steps=10 * steps, episodes=steps)
                new_episodes.append(journal.record(report))
                assert journal.counts.newest[actor, "a"].environment_steps == 10 * steps

        threads = [threading.Thread(target=act, args=(f"actor-{i}",)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
        assert new_episodes == [1] * 40
        assert len(flushes) < 35
    with CountsJournal(path) as journal:
        assert journal.counts.total == ActorCounts(environment_steps=400, episodes=40)


def test_a_failed_flush_fails_all_reports_that_shared_it(tmp_path):
    with CountsJournal(tmp_path / "counts.jsonl") as journal:
        faults = []

        def report(actor):
            try:
                journal.record(make_report(actor, environment_steps=1))
            except RunDirectoryError as error:
                faults.append(str(error))

        with full_disk(journal):
            threads = [threading.Thread(target=report, args=(f"actor-{i}",)) for i in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(timeout=30)
        assert len(faults) == 8
        assert journal.counts.total.environment_steps == 0
