"""What embedded replay refuses and says beyond the contract, and whom it wakes."""

import threading

import numpy as np
import pytest
from replay_tools import NUMBER, insert, make_table, numbers

from greenroom.errors import ConfigurationError, ReplayClosed, ReplayTimeout, SignatureError
from greenroom.replay import clients
from greenroom.replay.embedded import EmbeddedReplay
from greenroom.replay.tables import Prioritized, RateLimiter, Table
from greenroom.specs import ArraySpec


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


def test_nonsense_counts_are_refused():
    replay = EmbeddedReplay([make_table()], np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"batch_size .*Got: 0"):
        replay.sampler("t").sample(0, timeout=1.0)
    with pytest.raises(ValueError, match=r"max_pending .*Got: -1"):
        replay.writer().flush(timeout=1.0, max_pending=-1)


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
