"""What goes into a replay, whichever it is, comes out as it was, or is refused whole."""

from typing import NamedTuple

import numpy as np
import pytest
from replay_tools import NUMBER, insert, make_table, numbers

from greenroom.errors import SignatureError
from greenroom.replay.tables import Fifo, Prioritized, Table
from greenroom.specs import ArraySpec


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
    writer.flush(timeout=30.0)
    data = replay.sampler("t").sample(5, timeout=30.0).data

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
    first = sampler.sample(2, timeout=30.0)
    writer.flush(timeout=30.0)
    second = sampler.sample(2, timeout=30.0)
    assert [*first.data, *second.data] == [1, 2, 3, 4]
    assert [*first.priorities, *second.priorities] == [1, 1, 1, 1]


def test_arrays_of_varying_length_may_be_used_again_too(make_replay):
    replay = make_replay(Table.queue("t", 2, ArraySpec((None,), np.dtype(np.int64))))
    writer, sampler = replay.writer(), replay.sampler("t")
    episodes = [numbers(1), numbers(2), numbers(3)]  # the third is pending
    writer.insert("t", episodes, np.ones(3))
    for episode in episodes:
        episode[:] = 9
    got = [*sampler.sample(2, timeout=30.0).data]
    writer.flush(timeout=30.0)
    got += [*sampler.sample(1, timeout=30.0).data]
    assert np.array(got).tolist() == [[1], [2], [3]]


def test_samples_are_the_callers_own(make_replay):
    replay = make_replay(make_table(sampler=Fifo()))
    insert(replay, 5)
    sampler = replay.sampler("t")
    sampler.sample(1, timeout=30.0).data[:] = 6
    assert sampler.sample(1, timeout=30.0).data.tolist() == [5]


def test_lengths_that_vary_are_padded_with_zeros_to_the_longest_of_the_batch(make_replay):
    signature = {"episode": ArraySpec((None, 2), np.dtype(np.float32)), "id": NUMBER}
    replay = make_replay(Table.queue("t", 8, signature))
    writer, sampler = replay.writer(), replay.sampler("t")
    episodes = [np.full((length, 2), length, np.float32) for length in (3, 1, 4, 2)]
    writer.insert("t", {"episode": episodes, "id": numbers(3, 1, 4, 2)}, np.ones(4))
    writer.flush(timeout=30.0)

    first = sampler.sample(2, timeout=30.0).data
    assert first["episode"].shape == (2, 3, 2)
    assert first["episode"].dtype == np.float32
    np.testing.assert_array_equal(first["episode"][0], episodes[0])
    np.testing.assert_array_equal(first["episode"][1], [[1, 1], [0, 0], [0, 0]])
    second = sampler.sample(2, timeout=30.0).data
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
    writer.flush(timeout=30.0)
    assert replay.info()["t"].inserts == 0


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_priorities_must_be_finite_and_not_negative(make_replay, wrong):
    replay = make_replay(make_table(sampler=Prioritized(1.0)))
    insert(replay, 1, 2)
    with pytest.raises(ValueError, match=str(wrong)):
        replay.writer().insert("t", numbers(3, 4), np.array([1.0, wrong]))
    keys = replay.sampler("t").sample(2, timeout=30.0).keys
    with pytest.raises(ValueError, match=str(wrong)):
        replay.update_priorities("t", keys, np.array([5.0, wrong]))
    assert replay.info()["t"].inserts == 2
    assert replay.sampler("t").sample(8, timeout=30.0).priorities.tolist() == [1.0] * 8


def test_a_table_that_does_not_exist_is_named(make_replay):
    replay = make_replay(make_table())
    with pytest.raises(ValueError, match="nope"):
        replay.writer().insert("nope", numbers(1), np.ones(1))
    with pytest.raises(ValueError, match="nope"):
        replay.sampler("nope")
