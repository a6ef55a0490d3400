from __future__ import annotations

from dataclasses import replace
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

from greenroom.adders import EndOfEpisode, SequenceAdder
from greenroom.errors import CheckpointMismatch, ConfigurationError

WRITE, CONTINUE = EndOfEpisode.WRITE, EndOfEpisode.CONTINUE
ZERO_PAD, TRUNCATE = EndOfEpisode.ZERO_PAD, EndOfEpisode.TRUNCATE

lengths = st.integers(2, 6)
periods = st.integers(1, 8)
ends = st.sampled_from(EndOfEpisode)
starts = st.sampled_from([(), ("memory",), ("log_prob", "memory")])


class Make:
    """Makes the adder of a stream, for any writer."""

    def __init__(
        self, stream: Stream, length: int, period: int, end: EndOfEpisode, **options: Any
    ) -> None:
        self.stream = stream
        self.arguments = {"length": length, "period": period, "end_of_episode": end, **options}
        self.signature = SequenceAdder.signature(
            stream.spec, length, end, stream.extras, options.get("start", ())
        )

    def __call__(self, writer: RecordingWriter) -> SequenceAdder:
        stream = self.stream
        return SequenceAdder(
            writer, stream.spec, stream.num_envs, extras=stream.extras, **self.arguments
        )


def run(make: Make) -> tuple[SequenceAdder, RecordingWriter]:
    writer = RecordingWriter(make.signature)
    adder = make(writer)
    for transitions, _ in make.stream.vector_steps():
        adder.add(transitions)
    return adder, writer


def of_environment(items: list[Any], env: int) -> list[Any]:
    return [item for item in items if position(item["observation"])[0, 0] == env]


def held(item: Any) -> list[tuple[float, ...]]:
    """Return (env, episode, t) of the transitions in an item."""
    begins = item["mask"][:-1] == 1
    return [tuple(where) for where in position(item["observation"])[:-1][begins]]


def drawn(item: Any) -> str:
    """Return an item as the docstring draws it; ' stands for the second episode."""
    texts, after_end = [], True  # padding is never the first record
    for (_, episode, t), mask, ended in zip(
        position(item["observation"]),
        item["mask"],
        item["terminated"] | item["truncated"],
        strict=True,
    ):
        texts.append((f"{t:.0f}" if mask else "F" if after_end else "-") + "'" * int(episode))
        after_end = ended
    return " ".join(texts)


@given(streams(), lengths, periods, ends, starts)
@settings(max_examples=150, deadline=None)
def test_items_are_those_of_the_reference_after_every_step(
    stream: Stream, length: int, period: int, end: EndOfEpisode, start: tuple[str, ...]
) -> None:
    start = start if stream.with_extras else ()
    make = Make(stream, length, period, end, start=start)
    writer = RecordingWriter(make.signature)
    adder = make(writer)
    history: list[list[Any]] = [[] for _ in range(stream.num_envs)]
    for transitions, steps in stream.vector_steps():
        calls, before = len(writer.calls), len(writer.items)
        adder.add(transitions)
        assert len(writer.calls) <= calls + 1
        assert len(writer.items) - before <= adder.max_items_per_step
        for env, step in enumerate(steps):
            history[env].append(step)
    for env in range(stream.num_envs):
        expected = reference.sequences(
            stream, reference.episodes_of(history[env]), length, period, end, start
        )
        assert_equal(of_environment(writer.items, env), expected)


@given(streams(max_envs=2), lengths, periods, ends)
@settings(max_examples=50, deadline=None)
def test_a_sequence_is_written_by_the_step_that_completes_it(
    stream: Stream, length: int, period: int, end: EndOfEpisode
) -> None:
    make = Make(stream, length, period, end)
    writer = RecordingWriter(make.signature)
    adder = make(writer)
    history: list[list[Any]] = [[] for _ in range(stream.num_envs)]
    for transitions, steps in stream.vector_steps():
        adder.add(transitions)
        for env, step in enumerate(steps):
            history[env].append(step)
            episodes = reference.episodes_of(history[env])
            expected = reference.sequences(stream, episodes, length, period, end)
            assert len(of_environment(writer.items, env)) == len(expected)


@given(streams(), lengths, periods, ends)
@settings(max_examples=80, deadline=None)
def test_no_transition_joins_two_episodes_and_none_is_written_for_nothing(
    stream: Stream, length: int, period: int, end: EndOfEpisode
) -> None:
    _, writer = run(Make(stream, length, period, end))
    seen: set[tuple[float, ...]] = set()
    for item in writer.items:
        where = position(item["observation"])
        for t in np.flatnonzero(item["mask"][:-1]):
            np.testing.assert_array_equal(where[t + 1], where[t] + [0, 0, 1])
        np.testing.assert_array_equal(item["first"], (item["mask"] == 1) & (where[:, 2] == 0))
        blank = item["mask"] == 0
        for name in ("action", "reward", "terminated", "truncated", "first"):
            assert all(not leaf[blank].any() for leaf in optree.tree_leaves(item[name]))
        assert set(held(item)) - seen
        seen |= set(held(item))


@given(st.data(), streams(max_steps=40), lengths, ends)
@settings(max_examples=80, deadline=None)
def test_every_transition_of_finished_episodes_is_written(
    data: st.DataObject, stream: Stream, length: int, end: EndOfEpisode
) -> None:
    period = data.draw(st.integers(1, length - 1))
    _, writer = run(Make(stream, length, period, end))
    found = [key for item in writer.items for key in held(item)]
    if period == length - 1 and end is not WRITE:
        assert len(set(found)) == len(found)
    steps = [step for _, row in stream.vector_steps() for step in row if step is not None]
    keys = [(step.env, step.episode, step.t) for step in steps]
    if end is CONTINUE:  # all but the newest, which wait for their sequence to fill
        for env in range(stream.num_envs):
            of_env = [key for key in keys if key[0] == env]
            written = [key for key in of_env if key in set(found)]
            assert written == of_env[: len(written)]
            assert len(of_env) - len(written) < length
    else:
        last = {(step.env, step.episode) for step in steps if step.ended}
        assert {key for key in keys if key[:2] in last} <= set(found)


@given(st.data(), streams(), lengths, periods, ends, starts)
@settings(max_examples=60, deadline=None)
def test_a_restored_adder_goes_on_bit_equal(
    data: st.DataObject,
    stream: Stream,
    length: int,
    period: int,
    end: EndOfEpisode,
    start: tuple[str, ...],
) -> None:
    cut = data.draw(st.integers(0, len(stream.codes)))
    start = start if stream.with_extras else ()
    assert_goes_on_alike(Make(stream, length, period, end, start=start), stream, cut)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (WRITE, ["0 1 2 3", "2 3 4 F", "0' F' - -"]),
        (CONTINUE, ["0 1 2 3", "3 4 F 0'"]),
        (ZERO_PAD, ["0 1 2 3", "3 4 F -", "0' F' - -"]),
        (TRUNCATE, ["0 1 2 3", "3 4 F", "0' F'"]),
    ],
)
def test_the_example_of_the_docstring(end: EndOfEpisode, expected: list[str]) -> None:
    _, writer = run(Make(single((5, TRUNCATED), (1, TERMINATED)), 4, 3, end))
    # Padding says no episode: its observation is zero.
    assert [drawn(item) for item in writer.items] == expected


def test_continue_runs_on_over_several_episodes() -> None:
    stream = single((5, TRUNCATED), (1, TERMINATED), (4, GOES_ON))
    _, writer = run(Make(stream, 4, 3, CONTINUE))
    assert [drawn(item) for item in writer.items] == ["0 1 2 3", "3 4 F 0'", "0' F' 0'' 1''"]


def test_a_start_is_the_first_records_and_zero_where_that_is_final() -> None:
    stream = replace(single((3, TRUNCATED), (5, GOES_ON)), with_extras=True)
    _, writer = run(Make(stream, 4, 3, CONTINUE, start=("memory",)))
    assert [drawn(item) for item in writer.items] == ["0 1 2 F", "F 0' 1' 2'"]
    (before, after) = (item["start"]["memory"][0].tolist() for item in writer.items)
    assert (before, after) == ([0, 0], [0, 0])
    _, writer = run(Make(stream, 3, 2, CONTINUE, start=("memory",)))
    assert [drawn(item) for item in writer.items] == ["0 1 2", "2 F 0'", "0' 1' 2'", "2' 3' 4'"]
    # `make_extras` gives each step's (episode, t) as its memory.
    memories = [item["start"]["memory"][0].tolist() for item in writer.items]
    assert memories == [[0, 0], [0, 2], [1, 0], [1, 2]]
    assert [item["extras"]["log_prob"].shape for item in writer.items] == [(3,)] * 4


@pytest.mark.parametrize("end", EndOfEpisode)
def test_an_episode_that_ends_with_a_sequence_gives_no_other(end: EndOfEpisode) -> None:
    _, writer = run(Make(single((3, TRUNCATED)), 4, 2, end))
    assert [drawn(item) for item in writer.items] == ["0 1 2 F"]
    assert writer.items[0]["truncated"].tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (2, ["0 1", "1 F", "0' 1'", "1' F'"]),
        (3, ["0 1 F", "F 0' 1'", "0' 1' F'"]),
    ],
)
def test_continue_leaves_out_sequences_without_a_new_transition(
    length: int, expected: list[str]
) -> None:
    stream = single((2, TERMINATED), (2, TERMINATED))
    _, writer = run(Make(stream, length, 1, CONTINUE))
    assert [drawn(item) for item in writer.items] == expected


@pytest.mark.parametrize(
    ("end", "period", "episode", "most"),
    [
        (WRITE, 1, 3, 2),
        (WRITE, 2, 3, 2),
        (WRITE, 5, 3, 2),
        (ZERO_PAD, 2, 3, 2),
        (ZERO_PAD, 3, 3, 1),
        (TRUNCATE, 2, 3, 2),
        (TRUNCATE, 3, 2, 1),
        (CONTINUE, 1, 3, 2),
        (CONTINUE, 2, 3, 1),
    ],
)
def test_most_items_per_step_are_reached(
    end: EndOfEpisode, period: int, episode: int, most: int
) -> None:
    stream = Stream([[GOES_ON] * 2] * (episode - 1) + [[TRUNCATED] * 2])
    adder, writer = run(Make(stream, 3, period, end))
    assert max(writer.calls) == adder.max_items_per_step == 2 * most


def test_reset_begins_a_new_sequence_and_episode_in_the_masked_environments_only() -> None:
    stream = Stream([[GOES_ON, GOES_ON]] * 4)
    make = Make(stream, 3, 2, CONTINUE)
    writer = RecordingWriter(make.signature)
    adder = make(writer)
    for index, (transitions, _) in enumerate(stream.vector_steps()):
        if index == 1:
            adder.reset(np.array([True, False]))
        adder.add(transitions)
    (reset,), (kept,) = of_environment(writer.items, 0), of_environment(writer.items, 1)
    assert (drawn(reset), drawn(kept)) == ("1 2 3", "0 1 2")
    assert reset["first"].tolist() == kept["first"].tolist() == [True, False, False]


def test_a_next_step_reset_is_no_record() -> None:
    stream = Stream([[GOES_ON], [TRUNCATED], [INVALID], [GOES_ON], [GOES_ON]])
    _, writer = run(Make(stream, 5, 4, CONTINUE))
    assert [drawn(item) for item in writer.items] == ["0 1 F 0' 1'"]


def test_table_and_priority_are_passed_on() -> None:
    _, writer = run(Make(single((3, TERMINATED)), 2, 1, WRITE, table="mine", priority=2.5))
    assert writer.tables == ["mine"] * 3
    assert writer.priorities == [2.5] * 3


@pytest.mark.parametrize(
    "change", [{"num_envs": 0}, {"length": 1}, {"period": 0}, {"priority": -1.0}]
)
def test_arguments_out_of_range_are_refused_with_the_value(change: dict[str, Any]) -> None:
    arguments = {"num_envs": 1, "length": 2, "period": 1, "end_of_episode": WRITE} | change
    ((name, value),) = change.items()
    with pytest.raises(ConfigurationError, match=rf"{name} must .*Got: {name}={value}\."):
        SequenceAdder(RecordingWriter(()), FLAT, **arguments)


@pytest.mark.parametrize("length", [3, 9])
def test_a_state_of_another_length_is_refused(length: int) -> None:
    stream = Stream([[GOES_ON]] * 8)
    other, _ = run(Make(stream, length, 2, CONTINUE))
    mine = Make(stream, 5, 2, CONTINUE)(RecordingWriter(()))
    with pytest.raises(CheckpointMismatch, match=rf"length=5\. Got: length={length}\."):
        mine.restore(other.state())


def test_only_truncated_sequences_vary_in_length() -> None:
    for end in EndOfEpisode:
        leading = None if end is TRUNCATE else 7
        leaves = optree.tree_leaves(SequenceAdder.signature(FLAT, 7, end))
        assert {leaf.shape[0] for leaf in leaves} == {leading}
