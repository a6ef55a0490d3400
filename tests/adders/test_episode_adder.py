from __future__ import annotations

from typing import Any

import adder_reference as reference
import numpy as np
import optree
import pytest
from adder_streams import (
    FLAT,
    GOES_ON,
    INVALID,
    TERMINATED,
    TRUNCATED,
    RecordingWriter,
    Stream,
    assert_equal,
    assert_goes_on_alike,
    position,
    single,
    streams,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.adders import EpisodeAdder
from greenroom.errors import CheckpointMismatch, ConfigurationError, EnvironmentFault


class Make:
    """Makes the adder of a stream, for any writer."""

    def __init__(self, stream: Stream, max_length: int = 1_000, **options: Any) -> None:
        self.stream, self.arguments = stream, {"max_length": max_length, **options}
        self.signature = EpisodeAdder.signature(stream.spec, stream.extras)

    def __call__(self, writer: RecordingWriter) -> EpisodeAdder:
        stream = self.stream
        return EpisodeAdder(
            writer, stream.spec, stream.num_envs, extras=stream.extras, **self.arguments
        )


def run(make: Make) -> tuple[EpisodeAdder, RecordingWriter]:
    writer = RecordingWriter(make.signature)
    adder = make(writer)
    for transitions, _ in make.stream.vector_steps():
        adder.add(transitions)
    return adder, writer


def of_environment(items: list[Any], env: int) -> list[Any]:
    return [item for item in items if position(item["observation"])[0, 0] == env]


@given(streams())
@settings(max_examples=60, deadline=None)
def test_items_are_those_of_the_reference_after_every_step(stream: Stream) -> None:
    make = Make(stream)
    writer = RecordingWriter(make.signature)
    adder = make(writer)
    history: list[list[Any]] = [[] for _ in range(stream.num_envs)]
    for transitions, steps in stream.vector_steps():
        before = len(writer.items)
        adder.add(transitions)
        ended = sum(step is not None and step.ended for step in steps)
        assert len(writer.items) - before == ended <= adder.max_items_per_step
        for env, step in enumerate(steps):
            history[env].append(step)
    for env in range(stream.num_envs):
        expected = reference.whole_episodes(stream, reference.episodes_of(history[env]))
        assert_equal(of_environment(writer.items, env), expected)


@given(streams())
@settings(max_examples=40, deadline=None)
def test_an_item_holds_one_episode_whole(stream: Stream) -> None:
    _, writer = run(Make(stream))
    for item in writer.items:
        env, episode, t = position(item["observation"]).T
        assert len(set(env)) == len(set(episode)) == 1
        np.testing.assert_array_equal(t, np.arange(len(t)))
        np.testing.assert_array_equal(item["mask"], [1.0] * (len(t) - 1) + [0.0])
        np.testing.assert_array_equal(item["first"], t == 0)
        ended = item["terminated"] | item["truncated"]
        assert np.flatnonzero(ended).tolist() == [len(t) - 2]


@given(st.data(), streams())
@settings(max_examples=40, deadline=None)
def test_a_restored_adder_goes_on_bit_equal(data: st.DataObject, stream: Stream) -> None:
    cut = data.draw(st.integers(0, len(stream.codes)))
    assert_goes_on_alike(Make(stream), stream, cut)


@pytest.mark.parametrize("cut", [130, 290, 300])
def test_episodes_outgrow_the_first_buffer_and_their_state_does_too(cut: int) -> None:
    rows = [[GOES_ON, TRUNCATED if t % 100 == 99 else GOES_ON] for t in range(299)]
    stream = Stream([*rows, [TERMINATED, GOES_ON]])
    make = Make(stream, max_length=300)
    _, writer = run(make)
    assert [len(item["reward"]) for item in writer.items] == [101, 101, 301]
    long = of_environment(writer.items, 0)[0]
    assert_equal(position(long["observation"])[:, 2], np.arange(301, dtype=np.float32))
    assert_goes_on_alike(make, stream, cut)


def test_most_items_per_step_are_reached() -> None:
    adder, writer = run(Make(Stream([[TRUNCATED, TERMINATED, TRUNCATED]])))
    assert writer.calls == [adder.max_items_per_step] == [3]


def test_a_next_step_reset_is_no_record() -> None:
    _, writer = run(Make(Stream([[TRUNCATED], [INVALID], [TERMINATED]])))
    assert [position(item["observation"])[:, 1].tolist() for item in writer.items] == [
        [0, 0],
        [1, 1],
    ]


@pytest.mark.parametrize(("length", "max_length"), [(4, 4), (127, 200), (128, 200), (128, 128)])
def test_an_episode_fits_that_just_fills_a_buffer(length: int, max_length: int) -> None:
    _, writer = run(Make(single((length, TRUNCATED)), max_length=max_length))
    (item,) = writer.items
    assert position(item["observation"])[:, 2].tolist() == list(range(length + 1))


def test_a_longer_episode_is_a_fault_that_leaves_the_adder_as_it_was() -> None:
    stream = Stream([[GOES_ON, TRUNCATED]] * 5)
    make = Make(stream, max_length=4)
    writer = RecordingWriter(make.signature)
    adder = make(writer)
    steps = [transitions for transitions, _ in stream.vector_steps()]
    for transitions in steps[:4]:
        adder.add(transitions)
    before = adder.state()
    with pytest.raises(EnvironmentFault, match=r"max_length=4 .*Got: step 5 of an episode\."):
        adder.add(steps[4])
    assert_equal(adder.state(), before)
    assert len(writer.items) == 4


def test_reset_forgets_the_masked_episodes_only() -> None:
    stream = Stream([[GOES_ON, GOES_ON], [GOES_ON, GOES_ON], [TRUNCATED, TRUNCATED]])
    make = Make(stream)
    writer = RecordingWriter(make.signature)
    adder = make(writer)
    for index, (transitions, _) in enumerate(stream.vector_steps()):
        if index == 2:
            adder.reset(np.array([False, True]))
        adder.add(transitions)
    assert [len(item["reward"]) for item in writer.items] == [4, 2]
    assert writer.items[1]["first"].tolist() == [True, False]


def test_table_and_priority_are_passed_on() -> None:
    _, writer = run(Make(single((3, TERMINATED)), table="mine", priority=2.5))
    assert (writer.tables, writer.priorities) == (["mine"], [2.5])


@pytest.mark.parametrize("change", [{"num_envs": 0}, {"max_length": 0}, {"priority": -1.0}])
def test_arguments_out_of_range_are_refused_with_the_value(change: dict[str, Any]) -> None:
    arguments = {"num_envs": 1, "max_length": 10} | change
    ((name, value),) = change.items()
    with pytest.raises(ConfigurationError, match=rf"{name} must .*Got: {name}={value}\."):
        EpisodeAdder(RecordingWriter(()), FLAT, **arguments)


def test_a_state_that_is_too_long_is_refused() -> None:
    other, _ = run(Make(single((9, GOES_ON))))
    mine = Make(single((9, GOES_ON)), max_length=5)(RecordingWriter(()))
    with pytest.raises(CheckpointMismatch, match="Got: 9"):
        mine.restore(other.state())


def test_lengths_vary_in_the_signature() -> None:
    assert all(leaf.varies for leaf in optree.tree_leaves(EpisodeAdder.signature(FLAT)))
