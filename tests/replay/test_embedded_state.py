"""An embedded replay that is saved and restored goes on as it would have; others are refused."""

import json

import numpy as np
import pytest
from embedded_tools import calls, sample_at_once, tables, values_kept
from hypothesis import given, settings
from replay_tools import NUMBER, insert, make_table, numbers

from greenroom.errors import CheckpointMismatch
from greenroom.replay.embedded import EmbeddedReplay
from greenroom.replay.tables import Lifo, Prioritized, RateLimiter, Table
from greenroom.specs import ArraySpec


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


def test_a_writer_goes_on_after_restore():
    replay = EmbeddedReplay([Table.queue("t", 2, NUMBER)], np.random.default_rng(0))
    writer, sampler = replay.writer(), replay.sampler("t")
    empty = replay.state()
    writer.insert("t", numbers(1, 2), np.ones(2))
    replay.restore(empty)
    writer.insert("t", numbers(3), np.ones(1))
    assert sampler.sample(1, timeout=0.0).data.tolist() == [3]
