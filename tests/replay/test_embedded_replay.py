"""What embedded replay adds to the contract: it answers beforehand, keeps state, repeats itself."""

import copy
import json
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_tools import NUMBER, insert, make_table, numbers

from greenroom.core import LockstepReplay
from greenroom.errors import (
    CheckpointMismatch,
    ConfigurationError,
    ReplayClosed,
    ReplayTimeout,
    SignatureError,
)
from greenroom.replay import clients
from greenroom.replay.embedded import EmbeddedReplay
from greenroom.replay.tables import Fifo, Lifo, Prioritized, RateLimiter, Table, Uniform
from greenroom.specs import ArraySpec

SELECTORS = [Uniform(), Fifo(), Lifo(), Prioritized(0.7), Prioritized(0.0)]
LIMITERS = [
    RateLimiter.min_size_only(1),
    RateLimiter.min_size_only(4),
    RateLimiter.sample_to_insert_ratio(2.0, 3, 6.0),
    RateLimiter.sample_to_insert_ratio(0.3, 2, 2.5),
    RateLimiter.queue(5),
]
tables = st.builds(
    make_table,
    sampler=st.sampled_from(SELECTORS),
    remover=st.sampled_from(SELECTORS),
    limiter=st.sampled_from(LIMITERS),
    max_size=st.integers(4, 9),
    max_times_sampled=st.sampled_from([0, 1, 2, 5]),
)
calls = st.lists(
    st.tuples(
        st.sampled_from(["insert", "sample", "update"]),
        st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=1, max_size=14),
    ),
    max_size=25,
)


class ObviousTable:
    """One table as a plain list of items, one insert and one sample at a time."""

    def __init__(self, table):
        self.table = table
        self.items = []  # [value, priority, times sampled], oldest first
        self.pending = []
        self.inserts = self.samples = self.deletes = 0

    def can_insert(self):
        limiter = self.table.limiter
        if self.inserts + 1 - self.deletes <= limiter.min_size:
            return True
        diff = (self.inserts + 1) * limiter.samples_per_insert - self.samples
        return diff <= limiter.max_diff

    def can_sample(self):
        limiter = self.table.limiter
        if self.inserts - self.deletes < limiter.min_size:
            return False
        diff = self.inserts * limiter.samples_per_insert - self.samples - 1
        return diff >= limiter.min_diff

    def admit(self, leaves):
        """Insert what is pending; ``leaves(items)`` tells which one a full table lets go."""
        while self.pending and self.can_insert():
            self.items.append(self.pending.pop(0))
            self.inserts += 1
            if len(self.items) > self.table.max_size:
                self.items.remove(leaves(self.items))
                self.deletes += 1

    def probability(self, item):
        match self.table.sampler:
            case Uniform():
                return 1 / len(self.items)
            case Fifo():
                return float(item is self.items[0])
            case Lifo():
                return float(item is self.items[-1])
            case Prioritized(exponent):
                powers = [p**exponent if p else 0.0 for _, p, _ in self.items]
                if sum(powers) == 0.0:
                    return 1 / len(self.items)
                return powers[self.items.index(item)] / sum(powers)

    def sample(self, value):
        """Sample the item of this value, which must be possible; return what is reported."""
        assert self.can_sample()
        item = next(item for item in self.items if item[0] == value)
        item[2] += 1
        row = (self.probability(item), item[1], item[2], len(self.items))
        self.samples += 1
        if item[2] == self.table.max_times_sampled:
            self.items.remove(item)
            self.deletes += 1
        return row


def sample_at_once(replay, count):
    """Sample what is admitted now, up to ``count``."""
    sampler = replay.sampler("t")
    before = replay.info()["t"].samples
    try:
        return sampler.sample(count, timeout=0.0)
    except ReplayTimeout:
        drawn = replay.info()["t"].samples - before
        return sampler.sample(drawn, timeout=0.0) if drawn else None


def values_kept(replay):
    state = replay.state()["t"]
    order = np.argsort(state["keys"])
    return state["columns"]["0"]["values"][order].tolist()


@settings(max_examples=200, deadline=None)
@given(tables, calls)
def test_bulk_paths_do_exactly_what_one_by_one_would(table, calls):
    replay = EmbeddedReplay([table], np.random.default_rng(0))
    writer, model = replay.writer(), ObviousTable(table)
    key_of, next_value = {}, 0
    for call, priorities in calls:
        count = len(priorities)
        check_can_insert(replay, model, count)
        may_sample = replay.can_sample("t", count)
        if call == "insert":
            values = list(range(next_value, next_value + count))
            next_value += count
            writer.insert("t", numbers(*values), np.array(priorities))
            model.pending += [[v, p, 0] for v, p in zip(values, priorities, strict=True)]
            let_in(model, table, values_kept(replay))
        elif call == "sample":
            samples = sample_at_once(replay, count)
            drawn = 0 if samples is None else len(samples.keys)
            assert not may_sample or drawn == count
            for row in range(drawn):
                key_of[int(samples.data[row])] = samples.keys[row]
                probability, *rest = model.sample(samples.data[row])
                assert samples.probabilities[row] == pytest.approx(probability, rel=1e-12)
                assert probability > 0.0
                assert rest == [
                    samples.priorities[row],
                    samples.times_sampled[row],
                    samples.table_size[row],
                ]
            assert drawn == count or not model.can_sample()
        elif key_of:
            keys = np.array(list(key_of.values()))[:count]
            new = dict(zip(list(key_of)[:count], priorities, strict=False))
            replay.update_priorities("t", keys, np.array(list(new.values())))
            for item in model.items:
                item[1] = new.get(item[0], item[1])
        info = replay.info()["t"]
        assert (info.inserts, info.samples, info.deletes) == (
            model.inserts,
            model.samples,
            model.deletes,
        )
        assert info.size == len(model.items)
        assert values_kept(replay) == [value for value, *_ in model.items]
        assert writer.pending == len(model.pending)


def check_can_insert(replay, model, count):
    beforehand = copy.deepcopy(model)
    beforehand.pending = [[-1, 1.0, 0] for _ in range(count)]
    beforehand.admit(lambda items: items[0])
    assert replay.can_insert("t", count) == (not beforehand.pending)


def let_in(model, table, kept):
    """Admit into the model; where chance removes, take over who was removed."""
    match table.remover:
        case Fifo():
            model.admit(lambda items: items[0])
        case Lifo():
            model.admit(lambda items: items[-1])
        case _:
            model.admit(lambda items: next(item for item in items if item[0] not in kept))


@settings(max_examples=100, deadline=None)
@given(tables, calls, calls)
def test_a_restored_replay_goes_on_bit_for_bit(table, before, after):
    replay = EmbeddedReplay([table], np.random.default_rng(1))
    writer = replay.writer()
    keys = [np.zeros(0, np.uint64)]
    play(replay, writer, before, keys)
    # A new writer: what is pending is not part of the state.
    state = through_a_file(replay.state())
    restored = EmbeddedReplay([table], np.random.default_rng(2))
    play(restored, restored.writer(), after, list(keys))  # to be forgotten
    restored.restore(state)

    histories = [play(each, each.writer(), after, list(keys)) for each in (replay, restored)]
    assert len(histories[0]) == len(histories[1])
    for one, other in zip(*histories, strict=True):
        for got, wanted in zip(one, other, strict=True):
            np.testing.assert_array_equal(got, wanted, strict=True)
    assert values_kept(replay) == values_kept(restored)


def play(replay, writer, calls, keys):
    history = []
    for call, priorities in calls:
        if call == "insert":
            first = replay.info()["t"].inserts * 100
            values = numbers(*range(first, first + len(priorities)))
            writer.insert("t", values, np.array(priorities))
        elif call == "sample":
            samples = sample_at_once(replay, len(priorities))
            if samples is not None:
                history.append(samples)
                keys.append(samples.keys)
        else:
            some = np.concatenate(keys)[-len(priorities) :]
            replay.update_priorities("t", some, np.array(priorities[: len(some)]))
    return history


def through_a_file(state):
    """Copy arrays and put everything else through JSON, as a checkpoint does."""
    if isinstance(state, dict):
        assert all(isinstance(key, str) for key in state)
        return {key: through_a_file(value) for key, value in state.items()}
    if isinstance(state, np.ndarray):
        assert not state.dtype.hasobject
        return np.frombuffer(state.tobytes(), state.dtype).reshape(state.shape)  # read-only
    return json.loads(json.dumps(state))


def test_state_holds_rows_that_are_used_and_shares_no_memory():
    table = make_table(max_size=1_000, signature={"x": NUMBER})
    replay = EmbeddedReplay([table], np.random.default_rng(0))
    replay.writer().insert("t", {"x": numbers(1, 2, 3)}, np.ones(3))
    state = replay.state()
    assert state["t"]["columns"]["0"]["values"].tolist() == [1, 2, 3]
    state["t"]["columns"]["0"]["values"][:] = 9
    assert set(replay.sampler("t").sample(20, timeout=1.0).data["x"]) == {1, 2, 3}


def test_varying_lengths_survive_a_checkpoint():
    table = Table.queue("t", 4, ArraySpec((None, 2), np.dtype(np.float32)))
    episodes = [np.full((length, 2), length, np.float32) for length in (3, 0, 2)]
    replay, restored = (EmbeddedReplay([table], np.random.default_rng(0)) for _ in range(2))
    replay.writer().insert("t", episodes, np.ones(3))
    restored.restore(through_a_file(replay.state()))
    wanted, got = (each.sampler("t").sample(3, timeout=1.0).data for each in (replay, restored))
    np.testing.assert_array_equal(got, wanted, strict=True)
    restored.restore(through_a_file(replay.state()))  # empty by now
    assert restored.info()["t"].size == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_size": 99}, "max_size 100 in the checkpoint, 99 here"),
        ({"sampler": Prioritized(0.6)}, r"sampler Uniform\(\) in .* Prioritized\(exponent=0.6\)"),
        ({"remover": Lifo()}, "remover"),
        ({"max_times_sampled": 2}, "max_times_sampled 0 in the checkpoint, 2 here"),
        ({"limiter": RateLimiter.min_size_only(2)}, "limiter .*min_size=1.*min_size=2"),
        ({"signature": {"x": NUMBER}}, r"signature .*items\['x'\]"),
        ({"signature": ArraySpec((), np.dtype(np.int32))}, r"int64\[\].*int32\[\]"),
        ({"name": "u"}, r"\['t'\] in the checkpoint, \['u'\] here"),
    ],
)
def test_a_checkpoint_of_other_tables_is_refused(changes, words):
    saved = EmbeddedReplay([make_table()], np.random.default_rng(0))
    insert(saved, 1, 2)
    table = make_table(**changes)
    replay = EmbeddedReplay([table], np.random.default_rng(0))
    with pytest.raises(CheckpointMismatch, match=words):
        replay.restore(saved.state())
    assert replay.info()[table.name].inserts == 0


def test_a_refused_checkpoint_changes_no_table_at_all():
    saved = EmbeddedReplay([make_table(), make_table(name="u")], np.random.default_rng(0))
    insert(saved, 1)
    other = make_table(name="u", max_size=5)
    replay = EmbeddedReplay([make_table(), other], np.random.default_rng(0))
    insert(replay, 7, 8)
    with pytest.raises(CheckpointMismatch, match="'u'"):
        replay.restore(saved.state())
    assert values_kept(replay) == [7, 8]


def test_equal_calls_give_equal_samples_whatever_other_tables_do():
    def samples(busy):
        replay = EmbeddedReplay([make_table(), make_table(name="u")], np.random.default_rng(4))
        insert(replay, *range(50))
        insert(replay, *range(50), table="u")
        if busy:
            replay.sampler("u").sample(9, timeout=1.0)
        return replay.sampler("t").sample(30, timeout=1.0).data.tolist()

    assert samples(busy=False) == samples(busy=True)


def test_it_is_a_lockstep_replay_and_runs_in_turns():
    limiter = RateLimiter.sample_to_insert_ratio(4.0, min_size=6, error_buffer=16.0)
    replay = EmbeddedReplay([make_table(limiter=limiter, max_size=20)], np.random.default_rng(0))
    assert isinstance(replay, LockstepReplay)
    writer, sampler = replay.writer(), replay.sampler("t")
    for _ in range(50):
        while replay.can_insert("t", 2):
            writer.insert("t", numbers(1, 2), np.ones(2))
            assert writer.pending == 0
        while replay.can_sample("t", 8):
            sampler.sample(8, timeout=0.0)
    info = replay.info()["t"]
    assert info.inserts >= 190
    assert info.samples == 8 * (info.samples // 8)
    assert info.min_diff <= info.diff <= info.max_diff
    assert (info.insert_wait_seconds, info.sample_wait_seconds) == (0.0, 0.0)


@pytest.mark.parametrize("sampler", SELECTORS, ids=repr)
def test_can_sample_reckons_with_items_that_leave(sampler):
    table = make_table(sampler=sampler, limiter=RateLimiter.min_size_only(3), max_times_sampled=2)
    replay = EmbeddedReplay([table], np.random.default_rng(0))
    insert(replay, 1, 2, 3, 4)
    # After four samples two items may have left at worst; two are too few for a fifth.
    assert replay.can_sample("t", 4)
    assert not replay.can_sample("t", 5)
    replay.sampler("t").sample(4, timeout=0.0)


@pytest.mark.parametrize("seed", range(6))
def test_can_sample_reckons_with_the_worst_that_chance_may_do(seed):
    table = make_table(limiter=RateLimiter.min_size_only(3), max_times_sampled=2)
    replay = EmbeddedReplay([table], np.random.default_rng(seed))
    insert(replay, 1, 2, 3)
    replay.sampler("t").sample(1, timeout=0.0)
    assert replay.can_sample("t", 1)
    assert not replay.can_sample("t", 2)  # the same item again, and two are left


def test_no_tables_or_two_of_a_name_are_refused():
    with pytest.raises(ConfigurationError, match="name"):
        EmbeddedReplay([], np.random.default_rng(0))
    with pytest.raises(ConfigurationError, match="'t', 't'"):
        EmbeddedReplay([make_table(), make_table()], np.random.default_rng(0))


def test_a_signature_error_says_where_and_what():
    signature = {"deep": (NUMBER, ArraySpec((3,), np.dtype(np.float32)))}
    writer = EmbeddedReplay([make_table(signature=signature)], np.random.default_rng(0)).writer()
    wrong = {"deep": (numbers(1), np.zeros((1, 3)))}
    with pytest.raises(
        SignatureError,
        match=r"items\['deep'\]\[1\] must be an array float32\[1, 3\] .*Got: float64\[1, 3\]",
    ):
        writer.insert("t", wrong, np.ones(1))
    with pytest.raises(SignatureError, match=r"expected key.*'deep'.*'deap'"):
        writer.insert("t", {"deap": wrong["deep"]}, np.ones(1))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([np.zeros((2, 2), np.float32)], r"items must be a sequence of 1 arrays float32\[any\]"),
        ([np.zeros(2, np.float64)], r"Got: float64\[2\]"),
        ([[0.0, 1.0]], "Got: list"),
        ([np.zeros(2, np.float32)] * 2, "Got: 2 of them"),
        (3.0, "Got: float"),
    ],
)
def test_a_varying_leaf_is_checked_too(values, words):
    table = make_table(signature=ArraySpec((None,), np.dtype(np.float32)))
    writer = EmbeddedReplay([table], np.random.default_rng(0)).writer()
    with pytest.raises(SignatureError, match=words):
        writer.insert("t", values, np.ones(1))


@pytest.mark.parametrize("exponent", [0.5, 1.0, 3.0])
def test_priorities_whose_sum_could_overflow_are_refused(exponent):
    table = make_table(sampler=Prioritized(exponent), max_size=8)
    replay = EmbeddedReplay([table], np.random.default_rng(0))
    largest = float(np.finfo(np.float64).max)
    if exponent >= 1.0:
        with pytest.raises(ValueError, match="at most"):
            insert(replay, 1, priorities=[largest])
        largest = (largest / 40) ** (1 / exponent)
    insert(replay, *range(8), priorities=np.full(8, largest))
    assert np.isfinite(replay.sampler("t").sample(4, timeout=1.0).probabilities).all()


def test_timeouts_say_who_waits_for_what_and_count_the_time():
    table = make_table(limiter=RateLimiter.sample_to_insert_ratio(2.0, 5, 4.0))
    replay = EmbeddedReplay([table], np.random.default_rng(0))
    words = r"'t' waited 0\.02 s for 3 samples and has drawn 0: it has 0 items, needs 5"
    with pytest.raises(ReplayTimeout, match=words):
        replay.sampler("t").sample(3, timeout=0.02)
    writer = replay.writer()
    writer.insert("t", numbers(*range(10)), np.ones(10))
    words = r"'t' waited 0\.02 s to insert 3 items: the learner is behind \(diff 16 would exceed"
    with pytest.raises(ReplayTimeout, match=words):
        writer.flush(timeout=0.02)
    with pytest.raises(
        ReplayTimeout, match=r"has drawn 8: waiting for inserts \(diff 5 .* min_diff 6"
    ):
        replay.sampler("t").sample(9, timeout=0.02)
    info = replay.info()["t"]
    assert info.insert_wait_seconds >= 0.019
    assert info.sample_wait_seconds >= 0.038


@pytest.fixture
def when_somebody_waits(monkeypatch):
    """An event that is set, under the replay's lock, as soon as a thread begins to wait."""
    waiting, wait = threading.Event(), clients.wait

    def announced(*args):
        waiting.set()
        return wait(*args)

    monkeypatch.setattr(clients, "wait", announced)
    return waiting


@pytest.mark.parametrize("side", ["writer", "sampler"])
def test_close_wakes_a_thread_that_is_waiting(when_somebody_waits, side):
    replay = EmbeddedReplay([Table.queue("t", 1, NUMBER)], np.random.default_rng(0))
    writer, sampler = replay.writer(), replay.sampler("t")
    writer.insert("t", numbers(1, 2), np.ones(2))
    outcome = []

    def run():
        with pytest.raises(ReplayClosed) as raised:
            writer.flush(timeout=60.0) if side == "writer" else sampler.sample(2, timeout=60.0)
        outcome.append(raised.type)

    thread = threading.Thread(target=run)
    thread.start()
    assert when_somebody_waits.wait(timeout=30)
    replay.close()
    thread.join(timeout=30)
    assert outcome == [ReplayClosed]


def test_a_writer_held_back_at_two_tables_is_woken_by_either(when_somebody_waits):
    replay = EmbeddedReplay(
        [Table.queue("a", 1, NUMBER), Table.queue("b", 1, NUMBER)], np.random.default_rng(0)
    )
    writer = replay.writer()
    for name in ("a", "b"):
        writer.insert(name, numbers(1, 2), np.ones(2))
    thread = threading.Thread(target=lambda: writer.flush(timeout=60.0, max_pending=1))
    thread.start()
    assert when_somebody_waits.wait(timeout=30)
    replay.sampler("b").sample(1, timeout=1.0)
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert writer.pending == 1
    with pytest.raises(ReplayTimeout, match=r"'a' .* to insert 1 items"):
        writer.flush(timeout=0.0)


def test_a_table_that_holds_its_items_back_does_not_hold_back_another():
    replay = EmbeddedReplay(
        [Table.queue("a", 1, NUMBER), Table.queue("b", 9, NUMBER)], np.random.default_rng(0)
    )
    writer = replay.writer()
    writer.insert("a", numbers(1, 2), np.ones(2))
    writer.insert("b", numbers(3, 4), np.ones(2))
    assert replay.sampler("b").sample(2, timeout=0.0).data.tolist() == [3, 4]
    assert writer.pending == 1


def test_a_writer_goes_on_after_restore():
    replay = EmbeddedReplay([Table.queue("t", 2, NUMBER)], np.random.default_rng(0))
    writer, sampler = replay.writer(), replay.sampler("t")
    empty = replay.state()
    writer.insert("t", numbers(1, 2), np.ones(2))
    replay.restore(empty)
    writer.insert("t", numbers(3), np.ones(1))
    assert sampler.sample(1, timeout=0.0).data.tolist() == [3]


def test_nonsense_counts_are_refused():
    replay = EmbeddedReplay([make_table()], np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"batch_size .*Got: 0"):
        replay.sampler("t").sample(0, timeout=1.0)
    with pytest.raises(ValueError, match=r"max_pending .*Got: -1"):
        replay.writer().flush(timeout=1.0, max_pending=-1)
