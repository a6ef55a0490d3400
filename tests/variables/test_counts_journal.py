"""Counts: never twice, never lost once acknowledged, never less than before."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from learner_tools import full_disk, make_report

from greenroom.errors import RunDirectoryError
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


@settings(deadline=None)
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
