"""What embedded replay does with many items at once is what one by one would do, and foretold."""

import copy

import numpy as np
import pytest
from embedded_tools import SELECTORS, calls, sample_at_once, tables, values_kept
from hypothesis import given, settings
from replay_tools import insert, make_table, numbers

from greenroom.core import LockstepReplay
from greenroom.replay.embedded import EmbeddedReplay
from greenroom.replay.tables import Fifo, Lifo, Prioritized, RateLimiter, Uniform


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
