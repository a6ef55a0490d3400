"""Who waits at a replay, whichever it is, for how long, and who wakes them."""

import threading

import numpy as np
import pytest
from replay_tools import NUMBER, insert, make_table, numbers

from greenroom.errors import ReplayClosed, ReplayTimeout
from greenroom.replay.tables import RateLimiter, Table
from greenroom.specs import ArraySpec


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


def sample_in_part(replay, sampler, batch_size, drawn):
    """Ask for more than there is, until all that there is has been drawn."""
    for _ in range(100):
        with pytest.raises(ReplayTimeout):
            sampler.sample(batch_size, timeout=0.05)
        if replay.info()["t"].samples == drawn:
            return
    pytest.fail(f"{drawn} samples must have been drawn")


# --- the rate limiter --------------------------------------------------------------------


def test_what_is_not_admitted_stays_with_the_writer_in_order(make_replay):
    replay = make_replay(Table.queue("t", 3, NUMBER))
    writer, sampler = replay.writer(), replay.sampler("t")
    writer.insert("t", numbers(0, 1), np.ones(2))
    writer.insert("t", numbers(2, 3, 4), np.ones(3))
    writer.insert("t", numbers(5, 6), np.ones(2))
    writer.flush(timeout=30.0, max_pending=4)
    with pytest.raises(ReplayTimeout, match="'t'"):
        writer.flush(timeout=0.05)
    assert writer.pending == 4
    writer.flush(timeout=0.0, max_pending=4)

    got = [*sampler.sample(2, timeout=30.0).data]
    writer.flush(timeout=30.0, max_pending=2)
    assert writer.pending == 2
    got += [*sampler.sample(3, timeout=30.0).data]
    writer.insert("t", numbers(7), np.ones(1))
    writer.flush(timeout=30.0)
    assert writer.pending == 0
    got += [*sampler.sample(3, timeout=30.0).data]
    assert got == list(range(8))


def test_a_ratio_holds_back_whichever_side_is_ahead(make_replay):
    limiter = RateLimiter.sample_to_insert_ratio(2.0, min_size=5, error_buffer=4.0)
    replay = make_replay(make_table(limiter=limiter))
    writer, sampler = replay.writer(), replay.sampler("t")
    writer.insert("t", numbers(*range(7)), np.ones(7))
    writer.flush(timeout=30.0)
    info = replay.info()["t"]
    assert (info.inserts, info.diff, info.min_diff, info.max_diff) == (7, 14.0, 6.0, 14.0)
    assert info.samples_per_insert == 2.0

    writer.insert("t", numbers(7), np.ones(1))
    with pytest.raises(ReplayTimeout):
        writer.flush(timeout=0.05)
    assert replay.info()["t"].inserts == 7
    sampler.sample(2, timeout=30.0)
    writer.flush(timeout=30.0)
    assert replay.info()["t"].diff == 14.0

    sampler.sample(8, timeout=30.0)
    with pytest.raises(ReplayTimeout):
        replay.sampler("t").sample(1, timeout=0.05)
    assert replay.info()["t"].diff == 6.0
    writer.insert("t", numbers(*range(4)), np.ones(4))
    writer.flush(timeout=30.0)
    assert replay.info()["t"].diff == 14.0


def test_sampling_starts_at_the_minimum_size(make_replay):
    replay = make_replay(make_table(limiter=RateLimiter.min_size_only(3)))
    sampler = replay.sampler("t")
    insert(replay, 1, 2)
    with pytest.raises(ReplayTimeout, match="'t'"):
        sampler.sample(1, timeout=0.05)
    insert(replay, 3)
    assert len(sampler.sample(10, timeout=30.0).keys) == 10


def test_a_partly_filled_batch_stays_with_the_sampler(make_replay):
    replay = make_replay(Table.queue("t", 8, NUMBER))
    sampler = replay.sampler("t")
    for start in (0, 2):
        insert(replay, start, start + 1)
        sample_in_part(replay, sampler, 6, drawn=start + 2)
    insert(replay, 4, 5, 6)
    samples = sampler.sample(6, timeout=30.0)
    assert samples.data.tolist() == [0, 1, 2, 3, 4, 5]
    assert samples.table_size.tolist() == [2, 1, 2, 1, 3, 2]
    assert sampler.sample(1, timeout=30.0).data.tolist() == [6]


def test_a_smaller_batch_is_served_from_the_partly_filled_one(make_replay):
    replay = make_replay(Table.queue("t", 8, NUMBER))
    sampler = replay.sampler("t")
    insert(replay, 0, 1, 2)
    sample_in_part(replay, sampler, 5, drawn=3)
    assert sampler.sample(2, timeout=0.0).data.tolist() == [0, 1]
    insert(replay, 3, 4)
    assert sampler.sample(3, timeout=30.0).data.tolist() == [2, 3, 4]


def test_a_partly_filled_batch_of_varying_lengths_is_padded_as_one(make_replay):
    replay = make_replay(Table.queue("t", 8, ArraySpec((None,), np.dtype(np.float32))))
    writer, sampler = replay.writer(), replay.sampler("t")
    writer.insert("t", [np.ones(2, np.float32)], np.ones(1))
    writer.flush(timeout=30.0)
    sample_in_part(replay, sampler, 2, drawn=1)
    writer.insert("t", [np.ones(3, np.float32)], np.ones(1))
    writer.flush(timeout=30.0)
    assert sampler.sample(2, timeout=30.0).data.tolist() == [[1, 1, 0], [1, 1, 1]]


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
