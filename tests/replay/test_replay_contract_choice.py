"""Which item a replay, whichever it is, samples and removes, and what it tells of it."""

import numpy as np
import pytest
from replay_tools import NUMBER, chi_square_is_plausible, insert, make_table

from greenroom.replay.tables import Fifo, Lifo, Prioritized, Table, Uniform


def test_a_queue_gives_each_item_once_in_order(make_replay):
    replay = make_replay(Table.queue("t", 10, NUMBER))
    insert(replay, *range(7))
    sampler = replay.sampler("t")
    got = [sampler.sample(size, timeout=30.0) for size in (1, 4, 2)]
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
    assert replay.sampler("fifo").sample(3, timeout=30.0).data.tolist() == [1, 1, 1]
    assert replay.sampler("lifo").sample(3, timeout=30.0).data.tolist() == [3, 3, 3]
    insert(replay, 4, table="lifo")
    samples = replay.sampler("lifo").sample(2, timeout=30.0)
    assert samples.data.tolist() == [4, 4]
    assert samples.times_sampled.tolist() == [1, 2]
    assert samples.probabilities.tolist() == [1.0, 1.0]


def test_a_stack_gives_the_newest_first(make_replay):
    replay = make_replay(make_table(sampler=Lifo(), max_times_sampled=1))
    insert(replay, 1, 2, 3)
    assert replay.sampler("t").sample(2, timeout=30.0).data.tolist() == [3, 2]
    insert(replay, 4)
    assert replay.sampler("t").sample(2, timeout=30.0).data.tolist() == [4, 1]


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
    samples = sampler.sample(2_000, timeout=30.0)  # 3 and 5 are among them
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
    old = replay.sampler("t").sample(20, timeout=30.0).keys
    insert(replay, 3, 4)  # in the place of 1 and 2
    unknown = np.array([0, 1, 2**64 - 1], np.uint64)
    replay.update_priorities("t", np.concatenate([old, unknown]), np.full(23, 100.0))
    samples = replay.sampler("t").sample(20, timeout=30.0)
    assert set(samples.data.tolist()) == {3, 4}
    assert (samples.priorities == 1.0).all()
    replay.update_priorities("t", np.zeros(0, np.uint64), np.zeros(0))


def test_keys_of_items_sampled_often_enough_are_passed_over(make_replay):
    replay = make_replay(make_table(sampler=Prioritized(1.0), max_times_sampled=1))
    insert(replay, 1, 2, 3)
    sampler = replay.sampler("t")
    first = sampler.sample(1, timeout=30.0)
    replay.update_priorities("t", first.keys, np.array([1e6]))
    rest = sampler.sample(2, timeout=30.0)
    assert sorted([*first.data, *rest.data]) == [1, 2, 3]
    assert rest.probabilities.tolist() == [0.5, 1.0]


def test_keys_are_unsigned_and_never_used_twice(make_replay):
    replay = make_replay(Table.queue("t", 4, NUMBER))
    sampler = replay.sampler("t")
    keys = []
    for _ in range(5):
        insert(replay, 1, 2, 3, 4)
        samples = sampler.sample(4, timeout=30.0)
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
    samples = replay.sampler("t").sample(15, timeout=30.0)
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
    assert replay.sampler("t").sample(1, timeout=30.0).data[0] == left[0]


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
    kept = np.unique(replay.sampler("uniform").sample(400, timeout=30.0).data)
    # The oldest first would leave 100 and more, the newest first fewer than 50.
    assert kept.min() < 100 <= kept.max()
    kept = np.unique(replay.sampler("prioritized").sample(400, timeout=30.0).data)
    assert (kept % 2 == 1).all()
