"""What every replay does (`greenroom.core.Replay`), whatever stands behind it.

To put another implementation under the same tests, add a fixture ``make_NAME`` and NAME to
the parameters of `make_replay`.
Nothing here asks for more than the protocol: inserts are flushed before anything
is expected of them, and no count is read before the call that causes it returned.
"""

import threading
from typing import NamedTuple

import numpy as np
import pytest
from replay_tools import NUMBER, chi_square_is_plausible, insert, make_table, numbers

from greenroom.core import Replay
from greenroom.errors import ReplayClosed, ReplayTimeout, SignatureError
from greenroom.replay.embedded import EmbeddedReplay
from greenroom.replay.reverb_client import ReverbReplay
from greenroom.replay.tables import Fifo, Lifo, Prioritized, RateLimiter, Table, Uniform
from greenroom.specs import ArraySpec


@pytest.fixture
def make_embedded():
    return lambda tables: EmbeddedReplay(tables, np.random.default_rng(7))


@pytest.fixture
def make_reverb(reverb_process):
    """A client of a server of its own for each replay."""
    ports = []

    def make(tables):
        ports.append(reverb_process.start(tables))
        return ReverbReplay(f"127.0.0.1:{ports[-1]}", tables)

    yield make
    for port in ports:
        reverb_process.stop(port)


@pytest.fixture(params=["embedded", "reverb"])
def make_replay(request):
    make_one = request.getfixturevalue(f"make_{request.param}")
    made: list[Replay] = []

    def make(*tables: Table) -> Replay:
        made.append(make_one(tables))
        return made[-1]

    yield make
    for replay in made:
        replay.close()


def in_thread(call):
    """Run a call in a thread; return a function that waits for its result or raises its error."""
    outcome = {}

    def run():
        try:
            outcome["result"] = call()
        except Exception as error:
            outcome["error"] = error

    thread = threading.Thread(target=run)
    thread.start()

    def result():
        thread.join(timeout=30)
        assert not thread.is_alive()
        if "error" in outcome:
            raise outcome["error"]
        return outcome["result"]

    return result


# --- what goes in comes out --------------------------------------------------------------


class Step(NamedTuple):
    observation: dict
    action: np.ndarray
    extras: tuple


def test_items_come_back_as_they_were_inserted(make_replay):
    signature = Step(
        observation={
            "pixels": ArraySpec((2, 3), np.dtype(np.uint8)),
            "flag": ArraySpec((), np.dtype(np.bool_)),
        },
        action=NUMBER,
        extras=(ArraySpec((2,), np.dtype(np.float32)), ArraySpec((), np.dtype(np.float64))),
    )
    replay = make_replay(Table.queue("t", 8, signature))
    generator = np.random.default_rng(0)
    items = Step(
        observation={
            "pixels": generator.integers(0, 256, (5, 2, 3), np.uint8),
            "flag": generator.random(5) < 0.5,
        },
        action=generator.integers(-(2**40), 2**40, 5),
        extras=(generator.random((5, 2), np.float32), generator.random(5)),
    )
    writer = replay.writer()
    writer.insert("t", items, np.ones(5))
    writer.flush(timeout=5.0)
    data = replay.sampler("t").sample(5, timeout=5.0).data

    assert type(data) is Step
    for got, wanted in (
        (data.observation["pixels"], items.observation["pixels"]),
        (data.observation["flag"], items.observation["flag"]),
        (data.action, items.action),
        (data.extras[0], items.extras[0]),
        (data.extras[1], items.extras[1]),
    ):
        np.testing.assert_array_equal(got, wanted, strict=True)


def test_the_callers_arrays_may_be_used_again_at_once(make_replay):
    replay = make_replay(Table.queue("t", 2, NUMBER))
    writer, sampler = replay.writer(), replay.sampler("t")
    values, priorities = numbers(1, 2, 3, 4), np.ones(4)
    writer.insert("t", values, priorities)  # two are admitted, two are pending
    values[:], priorities[:] = 9, 9.0
    first = sampler.sample(2, timeout=5.0)
    writer.flush(timeout=5.0)
    second = sampler.sample(2, timeout=5.0)
    assert [*first.data, *second.data] == [1, 2, 3, 4]
    assert [*first.priorities, *second.priorities] == [1, 1, 1, 1]


def test_arrays_of_varying_length_may_be_used_again_too(make_replay):
    replay = make_replay(Table.queue("t", 2, ArraySpec((None,), np.dtype(np.int64))))
    writer, sampler = replay.writer(), replay.sampler("t")
    episodes = [numbers(1), numbers(2), numbers(3)]  # the third is pending
    writer.insert("t", episodes, np.ones(3))
    for episode in episodes:
        episode[:] = 9
    got = [*sampler.sample(2, timeout=5.0).data]
    writer.flush(timeout=5.0)
    got += [*sampler.sample(1, timeout=5.0).data]
    assert np.array(got).tolist() == [[1], [2], [3]]


def test_samples_are_the_callers_own(make_replay):
    replay = make_replay(make_table(sampler=Fifo()))
    insert(replay, 5)
    sampler = replay.sampler("t")
    sampler.sample(1, timeout=5.0).data[:] = 6
    assert sampler.sample(1, timeout=5.0).data.tolist() == [5]


def test_lengths_that_vary_are_padded_with_zeros_to_the_longest_of_the_batch(make_replay):
    signature = {"episode": ArraySpec((None, 2), np.dtype(np.float32)), "id": NUMBER}
    replay = make_replay(Table.queue("t", 8, signature))
    writer, sampler = replay.writer(), replay.sampler("t")
    episodes = [np.full((length, 2), length, np.float32) for length in (3, 1, 4, 2)]
    writer.insert("t", {"episode": episodes, "id": numbers(3, 1, 4, 2)}, np.ones(4))
    writer.flush(timeout=5.0)

    first = sampler.sample(2, timeout=5.0).data
    assert first["episode"].shape == (2, 3, 2)
    assert first["episode"].dtype == np.float32
    np.testing.assert_array_equal(first["episode"][0], episodes[0])
    np.testing.assert_array_equal(first["episode"][1], [[1, 1], [0, 0], [0, 0]])
    second = sampler.sample(2, timeout=5.0).data
    assert second["episode"].shape == (2, 4, 2)
    assert second["id"].tolist() == [4, 2]


@pytest.mark.parametrize(
    "items",
    [
        {"a": np.zeros((2, 3), np.float64), "b": numbers(1, 2)},
        {"a": np.zeros((2, 4), np.float32), "b": numbers(1, 2)},
        {"a": np.zeros((2, 3), np.float32), "b": numbers(1, 2, 3)},
        {"a": np.zeros((2, 3), np.float32), "b": np.int64(1)},
        {"a": np.zeros((2, 3), np.float32)},
        {"a": np.zeros((2, 3), np.float32), "b": numbers(1, 2), "c": numbers(1, 2)},
        (np.zeros((2, 3), np.float32), numbers(1, 2)),
    ],
    ids=["dtype", "shape", "count", "scalar", "missing", "extra", "structure"],
)
def test_items_that_do_not_fit_the_signature_are_refused_whole(make_replay, items):
    signature = {"a": ArraySpec((3,), np.dtype(np.float32)), "b": NUMBER}
    replay = make_replay(make_table(signature=signature))
    writer = replay.writer()
    with pytest.raises(SignatureError, match="Table 't'"):
        writer.insert("t", items, np.ones(2))
    assert writer.pending == 0
    writer.flush(timeout=5.0)
    assert replay.info()["t"].inserts == 0


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_priorities_must_be_finite_and_not_negative(make_replay, wrong):
    replay = make_replay(make_table(sampler=Prioritized(1.0)))
    insert(replay, 1, 2)
    with pytest.raises(ValueError, match=str(wrong)):
        replay.writer().insert("t", numbers(3, 4), np.array([1.0, wrong]))
    keys = replay.sampler("t").sample(2, timeout=5.0).keys
    with pytest.raises(ValueError, match=str(wrong)):
        replay.update_priorities("t", keys, np.array([5.0, wrong]))
    assert replay.info()["t"].inserts == 2
    assert replay.sampler("t").sample(8, timeout=5.0).priorities.tolist() == [1.0] * 8


def test_a_table_that_does_not_exist_is_named(make_replay):
    replay = make_replay(make_table())
    with pytest.raises(ValueError, match="nope"):
        replay.writer().insert("nope", numbers(1), np.ones(1))
    with pytest.raises(ValueError, match="nope"):
        replay.sampler("nope")


# --- which item --------------------------------------------------------------------------


def test_a_queue_gives_each_item_once_in_order(make_replay):
    replay = make_replay(Table.queue("t", 10, NUMBER))
    insert(replay, *range(7))
    sampler = replay.sampler("t")
    got = [sampler.sample(size, timeout=5.0) for size in (1, 4, 2)]
    assert np.concatenate([samples.data for samples in got]).tolist() == list(range(7))
    assert np.concatenate([s.table_size for s in got]).tolist() == [7, 6, 5, 4, 3, 2, 1]
    assert all((samples.probabilities == 1.0).all() for samples in got)
    info = replay.info()["t"]
    assert (info.size, info.inserts, info.samples, info.deletes) == (0, 7, 7, 7)


def test_fifo_samples_the_oldest_and_lifo_the_newest(make_replay):
    replay = make_replay(
        make_table(name="fifo", sampler=Fifo()), make_table(name="lifo", sampler=Lifo())
    )
    for table in ("fifo", "lifo"):
        insert(replay, 1, 2, 3, table=table)
    assert replay.sampler("fifo").sample(3, timeout=5.0).data.tolist() == [1, 1, 1]
    assert replay.sampler("lifo").sample(3, timeout=5.0).data.tolist() == [3, 3, 3]
    insert(replay, 4, table="lifo")
    samples = replay.sampler("lifo").sample(2, timeout=5.0)
    assert samples.data.tolist() == [4, 4]
    assert samples.times_sampled.tolist() == [1, 2]
    assert samples.probabilities.tolist() == [1.0, 1.0]


def test_a_stack_gives_the_newest_first(make_replay):
    replay = make_replay(make_table(sampler=Lifo(), max_times_sampled=1))
    insert(replay, 1, 2, 3)
    assert replay.sampler("t").sample(2, timeout=5.0).data.tolist() == [3, 2]
    insert(replay, 4)
    assert replay.sampler("t").sample(2, timeout=5.0).data.tolist() == [4, 1]


def test_uniform_samples_are_equally_likely(make_replay):
    replay = make_replay(make_table(max_size=20))
    insert(replay, *range(30))  # 0 to 9 have been evicted
    samples = replay.sampler("t").sample(4_000, timeout=30.0)
    counts = np.bincount(samples.data, minlength=30)
    assert counts[:10].sum() == 0
    assert chi_square_is_plausible(counts[10:], np.full(20, 1 / 20))
    assert (samples.probabilities == 1 / 20).all()
    assert (samples.table_size == 20).all()


@pytest.mark.parametrize("exponent", [0.0, 0.6, 1.0, 2.0])
def test_prioritized_samples_follow_priority_to_the_exponent(make_replay, exponent):
    priorities = np.array([0.5, 1.0, 0.0, 2.0, 4.0, 0.25, 1.0])
    replay = make_replay(make_table(sampler=Prioritized(exponent)))
    insert(replay, *range(7), priorities=priorities)
    samples = replay.sampler("t").sample(4_000, timeout=30.0)

    powers = np.where(priorities > 0, priorities**exponent, 0.0)
    wanted = powers / powers.sum()
    counts = np.bincount(samples.data, minlength=7)
    assert counts[2] == 0
    assert chi_square_is_plausible(np.delete(counts, 2), np.delete(wanted, 2))
    np.testing.assert_allclose(samples.probabilities, wanted[samples.data], rtol=1e-12)
    np.testing.assert_array_equal(samples.priorities, priorities[samples.data])


def test_items_are_equally_likely_when_all_priorities_are_zero(make_replay):
    replay = make_replay(make_table(sampler=Prioritized(0.6)))
    insert(replay, *range(4), priorities=np.zeros(4))
    samples = replay.sampler("t").sample(1_000, timeout=30.0)
    assert chi_square_is_plausible(np.bincount(samples.data, minlength=4), np.full(4, 0.25))
    assert (samples.probabilities == 0.25).all()


def test_new_priorities_count_from_then_on(make_replay):
    replay = make_replay(make_table(sampler=Prioritized(1.0), max_size=64))
    insert(replay, *range(64))
    sampler = replay.sampler("t")
    samples = sampler.sample(500, timeout=30.0)
    key_of = dict(zip(samples.data.tolist(), samples.keys, strict=True))
    everyone = np.array(list(key_of.values()))
    replay.update_priorities("t", everyone, np.zeros(len(everyone), np.float32))
    replay.update_priorities("t", np.array([key_of[3], key_of[5]]), np.array([1.0, 3.0]))
    rest = set(range(64)) - set(key_of)
    samples = sampler.sample(400, timeout=30.0)
    assert set(samples.data.tolist()) <= {3, 5} | rest
    np.testing.assert_array_equal(samples.priorities[samples.data == 5], 3.0)


def test_keys_of_items_that_left_are_passed_over(make_replay):
    replay = make_replay(make_table(sampler=Prioritized(1.0), max_size=2))
    insert(replay, 1, 2)
    old = replay.sampler("t").sample(20, timeout=5.0).keys
    insert(replay, 3, 4)  # in the place of 1 and 2
    unknown = np.array([0, 1, 2**64 - 1], np.uint64)
    replay.update_priorities("t", np.concatenate([old, unknown]), np.full(23, 100.0))
    samples = replay.sampler("t").sample(20, timeout=5.0)
    assert set(samples.data.tolist()) == {3, 4}
    assert (samples.priorities == 1.0).all()
    replay.update_priorities("t", np.zeros(0, np.uint64), np.zeros(0))


def test_keys_of_items_sampled_often_enough_are_passed_over(make_replay):
    replay = make_replay(make_table(sampler=Prioritized(1.0), max_times_sampled=1))
    insert(replay, 1, 2, 3)
    sampler = replay.sampler("t")
    first = sampler.sample(1, timeout=5.0)
    replay.update_priorities("t", first.keys, np.array([1e6]))
    rest = sampler.sample(2, timeout=5.0)
    assert sorted([*first.data, *rest.data]) == [1, 2, 3]
    assert rest.probabilities.tolist() == [0.5, 1.0]


def test_keys_are_unsigned_and_never_used_twice(make_replay):
    replay = make_replay(Table.queue("t", 4, NUMBER))
    sampler = replay.sampler("t")
    keys = []
    for _ in range(5):
        insert(replay, 1, 2, 3, 4)
        samples = sampler.sample(4, timeout=5.0)
        assert samples.keys.dtype == np.uint64
        keys += samples.keys.tolist()
    assert len(set(keys)) == 20
    with pytest.raises(ValueError, match="float64"):
        replay.update_priorities("t", samples.keys.astype(np.float64), np.ones(4))
    with pytest.raises(ValueError, match="3"):
        replay.update_priorities("t", samples.keys, np.ones(3))


def test_an_item_leaves_after_max_times_sampled(make_replay):
    replay = make_replay(make_table(max_times_sampled=3))
    insert(replay, *range(5))
    samples = replay.sampler("t").sample(15, timeout=5.0)
    assert np.bincount(samples.data).tolist() == [3] * 5
    for value in range(5):
        assert samples.times_sampled[samples.data == value].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(samples.probabilities, 1 / samples.table_size)
    info = replay.info()["t"]
    assert (info.size, info.samples, info.deletes) == (0, 15, 5)


@pytest.mark.parametrize(
    ("remover", "left"),
    # The newcomer is in the table already when the remover chooses, so Lifo sends it away.
    [(Fifo(), [4, 5, 6]), (Lifo(), [1, 2, 3])],
    ids=["fifo", "lifo"],
)
def test_the_remover_makes_room_in_a_full_table(make_replay, remover, left):
    replay = make_replay(make_table(sampler=Fifo(), remover=remover, max_size=3))
    for value in (1, 2, 3, 4):
        insert(replay, value)
    insert(replay, 5, 6)
    info = replay.info()["t"]
    assert (info.size, info.inserts, info.deletes) == (3, 6, 3)
    assert replay.sampler("t").sample(1, timeout=5.0).data[0] == left[0]


def test_removers_choose_by_chance_too(make_replay):
    replay = make_replay(
        make_table(name="uniform", remover=Uniform(), max_size=50),
        make_table(name="prioritized", remover=Prioritized(1.0), max_size=50),
    )
    for table in ("uniform", "prioritized"):
        values = np.arange(150)
        insert(replay, *values, priorities=np.where(values % 2, 0.0, 1.0), table=table)
        info = replay.info()[table]
        assert (info.size, info.deletes) == (50, 100)
    kept = np.unique(replay.sampler("uniform").sample(400, timeout=5.0).data)
    assert kept.min() < 50 < 100 < kept.max()
    kept = np.unique(replay.sampler("prioritized").sample(400, timeout=5.0).data)
    assert (kept % 2 == 1).all()


# --- the rate limiter --------------------------------------------------------------------


def test_what_is_not_admitted_stays_with_the_writer_in_order(make_replay):
    replay = make_replay(Table.queue("t", 3, NUMBER))
    writer, sampler = replay.writer(), replay.sampler("t")
    writer.insert("t", numbers(0, 1), np.ones(2))
    writer.insert("t", numbers(2, 3, 4), np.ones(3))
    writer.insert("t", numbers(5, 6), np.ones(2))
    writer.flush(timeout=5.0, max_pending=4)
    with pytest.raises(ReplayTimeout, match="'t'"):
        writer.flush(timeout=0.05)
    assert writer.pending == 4
    writer.flush(timeout=0.0, max_pending=4)

    got = [*sampler.sample(2, timeout=5.0).data]
    writer.flush(timeout=5.0, max_pending=2)
    assert writer.pending == 2
    got += [*sampler.sample(3, timeout=5.0).data]
    writer.insert("t", numbers(7), np.ones(1))
    writer.flush(timeout=5.0)
    assert writer.pending == 0
    got += [*sampler.sample(3, timeout=5.0).data]
    assert got == list(range(8))


def test_a_ratio_holds_back_whichever_side_is_ahead(make_replay):
    limiter = RateLimiter.sample_to_insert_ratio(2.0, min_size=5, error_buffer=4.0)
    replay = make_replay(make_table(limiter=limiter))
    writer, sampler = replay.writer(), replay.sampler("t")
    writer.insert("t", numbers(*range(7)), np.ones(7))
    writer.flush(timeout=5.0)
    info = replay.info()["t"]
    assert (info.inserts, info.diff, info.min_diff, info.max_diff) == (7, 14.0, 6.0, 14.0)
    assert info.samples_per_insert == 2.0

    writer.insert("t", numbers(7), np.ones(1))
    with pytest.raises(ReplayTimeout):
        writer.flush(timeout=0.05)
    assert replay.info()["t"].inserts == 7
    sampler.sample(2, timeout=5.0)
    writer.flush(timeout=5.0)
    assert replay.info()["t"].diff == 14.0

    sampler.sample(8, timeout=5.0)
    with pytest.raises(ReplayTimeout):
        replay.sampler("t").sample(1, timeout=0.05)
    assert replay.info()["t"].diff == 6.0
    writer.insert("t", numbers(*range(4)), np.ones(4))
    writer.flush(timeout=5.0)
    assert replay.info()["t"].diff == 14.0


def test_sampling_starts_at_the_minimum_size(make_replay):
    replay = make_replay(make_table(limiter=RateLimiter.min_size_only(3)))
    sampler = replay.sampler("t")
    insert(replay, 1, 2)
    with pytest.raises(ReplayTimeout, match="'t'"):
        sampler.sample(1, timeout=0.05)
    insert(replay, 3)
    assert len(sampler.sample(10, timeout=5.0).keys) == 10


def test_a_partly_filled_batch_stays_with_the_sampler(make_replay):
    replay = make_replay(Table.queue("t", 8, NUMBER))
    sampler = replay.sampler("t")
    for start in (0, 2):
        insert(replay, start, start + 1)
        with pytest.raises(ReplayTimeout):
            sampler.sample(6, timeout=0.05)
    insert(replay, 4, 5, 6)
    samples = sampler.sample(6, timeout=5.0)
    assert samples.data.tolist() == [0, 1, 2, 3, 4, 5]
    assert samples.table_size.tolist() == [2, 1, 2, 1, 3, 2]
    assert sampler.sample(1, timeout=5.0).data.tolist() == [6]


def test_a_smaller_batch_is_served_from_the_partly_filled_one(make_replay):
    replay = make_replay(Table.queue("t", 8, NUMBER))
    sampler = replay.sampler("t")
    insert(replay, 0, 1, 2)
    with pytest.raises(ReplayTimeout):
        sampler.sample(5, timeout=0.05)
    assert sampler.sample(2, timeout=0.0).data.tolist() == [0, 1]
    insert(replay, 3, 4)
    assert sampler.sample(3, timeout=5.0).data.tolist() == [2, 3, 4]


def test_a_partly_filled_batch_of_varying_lengths_is_padded_as_one(make_replay):
    replay = make_replay(Table.queue("t", 8, ArraySpec((None,), np.dtype(np.float32))))
    writer, sampler = replay.writer(), replay.sampler("t")
    writer.insert("t", [np.ones(2, np.float32)], np.ones(1))
    writer.flush(timeout=5.0)
    with pytest.raises(ReplayTimeout):
        sampler.sample(2, timeout=0.05)
    writer.insert("t", [np.ones(3, np.float32)], np.ones(1))
    writer.flush(timeout=5.0)
    assert sampler.sample(2, timeout=5.0).data.tolist() == [[1, 1, 0], [1, 1, 1]]


@pytest.mark.parametrize("timeout", [-1.0, np.nan, np.inf])
def test_every_wait_is_finite(make_replay, timeout):
    replay = make_replay(make_table())
    insert(replay, 1)
    with pytest.raises(ValueError, match="timeout"):
        replay.sampler("t").sample(1, timeout)
    with pytest.raises(ValueError, match="timeout"):
        replay.writer().flush(timeout)


def test_a_huge_timeout_is_finite_enough(make_replay):
    replay = make_replay(make_table(limiter=RateLimiter.min_size_only(2)))
    insert(replay, 1)
    sampled = in_thread(lambda: replay.sampler("t").sample(1, timeout=1e18))
    insert(replay, 2)
    assert len(sampled().keys) == 1


# --- threads -----------------------------------------------------------------------------


def test_an_insert_wakes_a_sampler_that_waits(make_replay):
    replay = make_replay(Table.queue("t", 4, NUMBER))
    sampled = in_thread(lambda: replay.sampler("t").sample(6, timeout=30.0))
    writer = replay.writer()
    writer.insert("t", numbers(*range(6)), np.ones(6))
    writer.flush(timeout=30.0)
    assert sampled().data.tolist() == list(range(6))


def test_a_producer_and_a_consumer_never_leave_the_window(make_replay):
    limiter = RateLimiter.sample_to_insert_ratio(3.0, min_size=10, error_buffer=12.0)
    replay = make_replay(make_table(limiter=limiter, max_size=40))
    seen = []

    def look():
        info = replay.info()["t"]
        seen.append(info)
        return info

    def produce():
        writer = replay.writer()
        for step in range(100):
            writer.insert("t", numbers(step, step), np.ones(2))
            writer.flush(timeout=30.0, max_pending=1)
            look()
        writer.flush(timeout=30.0)

    def consume():
        sampler = replay.sampler("t")
        for _ in range(96):
            sampler.sample(6, timeout=30.0)
            look()

    done = [in_thread(produce), in_thread(consume)]
    for result in done:
        result()
    for info in seen:
        assert info.diff <= info.max_diff
        assert info.samples == 0 or (info.diff >= info.min_diff and info.inserts >= 10)
        assert info.size == info.inserts - info.deletes <= 40
    last = look()
    assert (last.inserts, last.samples, last.deletes) == (200, 576, 160)
    assert last.insert_wait_seconds + last.sample_wait_seconds > 0.0


def test_several_producers_and_consumers_lose_and_double_nothing(make_replay):
    replay = make_replay(Table.queue("t", 5, NUMBER))

    def produce(worker):
        writer = replay.writer()
        for step in range(40):
            writer.insert("t", numbers(100 * worker + step), np.ones(1))
            writer.flush(timeout=30.0, max_pending=2)
        writer.flush(timeout=30.0)

    def consume():
        sampler = replay.sampler("t")
        return [sampler.sample(4, timeout=30.0).data for _ in range(10)]

    consumers = [in_thread(consume) for _ in range(3)]
    producers = [in_thread(lambda worker=worker: produce(worker)) for worker in range(3)]
    for result in producers:
        result()
    got = np.concatenate([batch for result in consumers for batch in result()])
    assert sorted(got) == [100 * worker + step for worker in range(3) for step in range(40)]


def test_close_wakes_everyone_who_waits(make_replay):
    replay = make_replay(Table.queue("t", 1, NUMBER), Table.queue("other", 1, NUMBER))
    writer, sampler = replay.writer(), replay.sampler("other")
    writer.insert("t", numbers(1, 2), np.ones(2))
    flushed = in_thread(lambda: writer.flush(timeout=30.0))
    sampled = in_thread(lambda: sampler.sample(1, timeout=30.0))
    replay.close()
    with pytest.raises(ReplayClosed):
        flushed()
    with pytest.raises(ReplayClosed):
        sampled()


def test_a_closed_replay_says_so(make_replay):
    replay = make_replay(make_table())
    writer, sampler = replay.writer(), replay.sampler("t")
    insert(replay, 1)
    replay.close()
    replay.close()
    with pytest.raises(ReplayClosed):
        writer.insert("t", numbers(1), np.ones(1))
    with pytest.raises(ReplayClosed):
        writer.flush(timeout=1.0)
    with pytest.raises(ReplayClosed):
        sampler.sample(1, timeout=1.0)
    with pytest.raises(ReplayClosed):
        replay.update_priorities("t", np.ones(1, np.uint64), np.ones(1))
