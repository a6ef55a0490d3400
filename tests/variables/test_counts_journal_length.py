"""The journal of counts stays short, also where actors come and go for days."""

import time
from contextlib import suppress
from pathlib import Path

import pytest
from learner_tools import make_report

from greenroom.variables import journal as journal_module
from greenroom.variables.journal import CountsJournal


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
