"""Counts: never twice, never lost once acknowledged, never less than before."""

import errno
import os
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from learner_tools import full_disk, make_report

from greenroom.errors import RunDirectoryError
from greenroom.variables import journal as journal_module
from greenroom.variables.counts import ActorCounts, Counts
from greenroom.variables.journal import CountsJournal


class Counting(RuleBasedStateMachine):
    """Reports sent, repeated, late and lost; actors, the learner and its disk failing."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "counts.jsonl"
        self.journal = CountsJournal(self.path)
        self.base = 0
        self.done = {}  # environment steps by actor and incarnation: the truth
        self.acknowledged = {}  # the most of them that a report was acknowledged for
        self.incarnations = {"actor-0": 0, "actor-1": 0}
        self.reports = []  # all that were ever made
        self.highest = 0

    def teardown(self):
        self.journal.close()
        self.folder.cleanup()

    @rule(actor=st.sampled_from(["actor-0", "actor-1"]), steps=st.integers(0, 100))
    def an_actor_acts_and_makes_a_report(self, actor, steps):
        key = actor, str(self.incarnations[actor])
        self.done[key] = self.done.get(key, 0) + steps
        self.reports.append(make_report(*key, environment_steps=self.done[key]))

    @rule(back=st.integers(0, 5))
    def a_report_arrives(self, back):
        """The newest one, or a repetition, or a late one."""
        if self.reports:
            report = self.reports[max(0, len(self.reports) - 1 - back)]
            self.journal.record(report)
            key = report.actor, report.incarnation
            before = self.acknowledged.get(key, 0)
            self.acknowledged[key] = max(before, report.environment_steps)

    @rule()
    def a_report_does_not_fit_on_the_disk(self):
        if self.reports:
            report = self.reports[-1]
            known = self.acknowledged.get((report.actor, report.incarnation), -1)
            with full_disk(self.journal):
                if report.environment_steps > known:
                    with pytest.raises(RunDirectoryError, match="No space left"):
                        self.journal.record(report)
                else:
                    self.journal.record(report)

    @rule(actor=st.sampled_from(["actor-0", "actor-1"]))
    def an_actor_is_killed(self, actor):
        self.incarnations[actor] += 1

    @rule(torn=st.sampled_from([b"", b"{", b'{"environment_steps": 999999, "epi', b"\0" * 40]))
    def the_learner_is_killed(self, torn):
        self.journal.close()
        with self.path.open("ab") as file:
            file.write(torn)
        self.journal = CountsJournal(self.path)

    @rule(more=st.integers(-50, 50))
    def the_learner_resumes_from_a_checkpoint(self, more):
        self.the_learner_is_killed(b"")
        found = self.journal.counts.total.environment_steps
        self.journal.raise_to(environment_steps=max(0, found + more), episodes=0)
        self.base += max(0, more)

    @invariant()
    def what_was_acknowledged_is_counted_once(self):
        total = self.journal.counts.total.environment_steps
        assert total == self.base + sum(self.acknowledged.values())
        assert total <= self.base + sum(self.done.values())
        assert total >= self.highest
        self.highest = total


TestCounting = Counting.TestCase
TestCounting.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)

some_counts = st.builds(
    ActorCounts,
    environment_steps=st.integers(0, 1_000),
    episodes=st.integers(0, 10),
    dropped_items=st.integers(0, 10),
    acting_seconds=st.integers(0, 100).map(float),
    waiting_seconds=st.integers(0, 100).map(float),
)
keys = st.tuples(st.sampled_from(["actor-0", "actor-1"]), st.sampled_from(["a", "b"]))


@given(st.lists(st.tuples(keys, some_counts), max_size=12), st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(reports, random):
    straight, shuffled = Counts(), Counts()
    again = reports * 2
    random.shuffle(again)
    for key, counts in reports:
        straight.merge(key, counts)
    for key, counts in again:
        shuffled.merge(key, counts)
    assert straight.newest == shuffled.newest
    assert straight.total == shuffled.total
    by_hand = ActorCounts()
    for counts in straight.newest.values():
        by_hand = by_hand.plus(counts)
    assert straight.total == by_hand


def test_incarnations_are_numbered_in_the_order_of_their_first_reports(tmp_path):
    with CountsJournal(tmp_path / "counts.jsonl") as journal:
        for incarnation in ("z", "a", "z"):
            journal.record(make_report("actor-0", incarnation))
        journal.record(make_report("actor-1", "m"))
    with CountsJournal(tmp_path / "counts.jsonl") as journal:
        assert list(journal.counts.incarnations("actor-0")) == ["z", "a"]
        assert list(journal.counts.incarnations("actor-1")) == ["m"]
        assert list(journal.counts.incarnations("actor-2")) == []


def test_every_count_is_kept(tmp_path):
    first = make_report(environment_steps=7, episodes=2, acting_seconds=0.1, dropped_items=3)
    with CountsJournal(tmp_path / "counts.jsonl") as journal:
        journal.record(first)
        journal.record(make_report("actor-1", environment_steps=1, waiting_seconds=1e-9))
        total = journal.counts.total
    with CountsJournal(tmp_path / "counts.jsonl") as journal:
        assert journal.counts.total == total == ActorCounts(8, 2, 3, 0.1, 1e-9)


def test_new_episodes_are_those_that_no_earlier_report_had(tmp_path):
    with CountsJournal(tmp_path / "counts.jsonl") as journal:
        assert journal.record(make_report(episodes=3)) == 3
        assert journal.record(make_report(episodes=5)) == 2
        assert journal.record(make_report(episodes=5)) == 0
        assert journal.record(make_report(episodes=4)) == 0
        assert journal.record(make_report("actor-0", "b", episodes=1)) == 1
    with CountsJournal(tmp_path / "counts.jsonl") as journal:
        assert journal.record(make_report(episodes=6)) == 1


# --- checkpoints --------------------------------------------------------------------------


def test_a_checkpoints_counts_are_where_a_run_without_a_journal_goes_on(tmp_path):
    for _ in range(2):  # started again, it has the checkpoint in it already
        with CountsJournal(tmp_path / "counts.jsonl") as journal:
            journal.raise_to(environment_steps=12_000, episodes=80)
            assert journal.counts.total == ActorCounts(environment_steps=12_000, episodes=80)


def test_what_actors_report_before_the_checkpoint_is_known_is_not_taken_for_a_part_of_it(tmp_path):
    with CountsJournal(tmp_path / "counts.jsonl") as journal:
        journal.record(make_report(environment_steps=500))
        journal.raise_to(environment_steps=12_000, episodes=80)
        journal.raise_to(environment_steps=12_000, episodes=80)
        assert journal.counts.total.environment_steps == 12_500


def test_a_checkpoint_that_is_older_than_the_journal_changes_nothing(tmp_path):
    with CountsJournal(tmp_path / "counts.jsonl") as journal:
        journal.record(make_report(environment_steps=15_000, episodes=100))
    with CountsJournal(tmp_path / "counts.jsonl") as journal:
        journal.raise_to(environment_steps=12_000, episodes=80)
        assert journal.counts.total.environment_steps == 15_000
        assert journal.counts.total.episodes == 100


# --- the disk -----------------------------------------------------------------------------


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


# --- its length ---------------------------------------------------------------------------


def test_the_file_has_a_line_for_each_incarnation_when_it_is_opened(tmp_path):
    path = tmp_path / "counts.jsonl"
    with CountsJournal(path) as journal:
        for steps in range(1, 30):
            journal.record(make_report("actor-0", str(steps % 3), environment_steps=steps))
        total = journal.counts.total
    assert len(path.read_bytes().splitlines()) == 29
    with CountsJournal(path) as journal:
        assert len(path.read_bytes().splitlines()) == 3
        assert journal.counts.total == total
        assert [file.name for file in tmp_path.iterdir()] == ["counts.jsonl"]


def test_the_file_stays_short_while_it_is_open(tmp_path, monkeypatch):
    monkeypatch.setattr(journal_module, "COMPACT_LINES", 10)
    path = tmp_path / "counts.jsonl"
    with CountsJournal(path) as journal:
        for steps in range(1, 100):
            journal.record(make_report("actor-0", str(steps % 3), environment_steps=steps))
            assert len(path.read_bytes().splitlines()) < 3 + 10
        total = journal.counts.total
    with CountsJournal(path) as journal:
        assert journal.counts.total == total


def test_a_file_that_cannot_be_made_short_goes_on(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(journal_module, "COMPACT_LINES", 5)
    path = tmp_path / "counts.jsonl"
    with CountsJournal(path) as journal:
        blocker = tmp_path / ".counts.jsonl.writing"
        blocker.mkdir()
        for steps in range(1, 13):
            journal.record(make_report(environment_steps=steps))
        assert caplog.text.count("stays long") == 2
        blocker.rmdir()
        for steps in range(13, 18):
            journal.record(make_report(environment_steps=steps))
        assert len(path.read_bytes().splitlines()) < 5
    with CountsJournal(path) as journal:
        assert journal.counts.total.environment_steps == 17


# --- actors that come and go ----------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a journal's clock is ahead; and few incarnations to tell apart."""
    ahead = [0.0]
    monotonic = time.monotonic
    monkeypatch.setattr(journal_module.time, "monotonic", lambda: monotonic() + ahead[0])
    monkeypatch.setattr(journal_module, "KEPT_INCARNATIONS", 5)
    monkeypatch.setattr(journal_module, "COMPACT_LINES", 10)
    return ahead


def test_pods_that_come_and_go_for_days_are_counted_once_and_take_no_room(tmp_path, clock):
    path = tmp_path / "counts.jsonl"
    truth, longest = 0, 0
    journal = CountsJournal(path)
    for number in range(300):
        clock[0] += journal_module.SILENT_SECONDS / 4
        for actor in (f"pod-{number}", "steady"):
            journal.record(make_report(actor))
            for steps in (10, 20, 20):
                journal.record(
                    make_report(actor, environment_steps=number * (actor == "steady") + steps)
                )
        truth += 20
        assert journal.counts.total.environment_steps == truth + 20 + number
        assert journal.record(make_report(f"pod-{number}", environment_steps=15)) == 0, "late"
        if number % 50 == 0:  # a learner that is killed
            journal.close()
            journal = CountsJournal(path)
        longest = max(longest, len(path.read_bytes().splitlines()), len(journal.counts.newest))
    total = journal.counts.total
    assert list(journal.counts.incarnations("steady")) == ["a"]
    journal.close()
    assert longest < 5 + 10 + 10
    assert len(journal._heard) < 5 + 10 + 10
    with CountsJournal(path) as journal:
        assert journal.counts.total == total


def test_who_was_forgotten_is_refused_and_a_new_one_in_its_place_counts(tmp_path, clock):
    with CountsJournal(tmp_path / "counts.jsonl") as journal:
        journal.raise_to(environment_steps=100, episodes=1)
        for number in range(6):
            journal.record(make_report(f"pod-{number}", environment_steps=10))
        clock[0] += journal_module.SILENT_SECONDS + 1.0
        for steps in range(10, 22):  # until the file is written anew
            journal.record(make_report("pod-5", environment_steps=steps))
        total = journal.counts.total
        assert total.environment_steps == 100 + 50 + 21
        assert "pod-0" not in journal.counts.actors()
        with pytest.raises(ValueError, match=r"Got: a of pod-0, which was forgotten"):
            journal.record(make_report("pod-0", environment_steps=12))
        with pytest.raises(ValueError, match="forgotten"):
            journal.record(make_report("pod-0", allowed_steps=1))
        assert journal.counts.total == total
        journal.record(make_report("pod-0", "b"))
        journal.record(make_report("pod-0", "b", environment_steps=3))
        assert journal.counts.total.environment_steps == total.environment_steps + 3


def test_nobody_who_still_reports_is_forgotten_however_many_they_are(tmp_path, clock):
    with CountsJournal(tmp_path / "counts.jsonl") as journal:
        for steps in range(5):
            for number in range(20):
                journal.record(make_report(f"pod-{number}", environment_steps=steps))
        assert len(journal.counts.actors()) == 20


@pytest.mark.parametrize("when", ["before the new file is in place", "after that"])
def test_a_learner_killed_while_it_forgets_counts_nothing_twice(tmp_path, clock, monkeypatch, when):
    path = tmp_path / "counts.jsonl"
    replace = Path.replace

    def killed(self, target):
        if when == "after that":
            replace(self, target)
        raise KeyboardInterrupt

    with CountsJournal(path) as journal:
        for number in range(9):
            journal.record(make_report(f"pod-{number}", environment_steps=10))
        clock[0] += journal_module.SILENT_SECONDS + 1.0
        monkeypatch.setattr(Path, "replace", killed)
        steps = 0
        with suppress(KeyboardInterrupt):
            while steps < 20:
                steps += 1
                journal.record(make_report("new", environment_steps=steps))
        assert steps < 20
        monkeypatch.setattr(Path, "replace", replace)
    with CountsJournal(path) as journal:
        assert journal.counts.total.environment_steps in (90 + steps - 1, 90 + steps)


# --- threads ------------------------------------------------------------------------------


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

        def act(actor):
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
