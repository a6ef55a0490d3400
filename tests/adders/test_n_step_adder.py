from __future__ import annotations

from typing import Any

import adder_reference as reference
import numpy as np
import pytest
from adder_streams import (
    FLAT,
    GOES_ON,
    INVALID,
    NESTED,
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

from greenroom.adders import NStepTransitionAdder
from greenroom.errors import CheckpointMismatch, ConfigurationError, SignatureError
from greenroom.specs import ArraySpec

n_steps = st.integers(1, 5)
discounts = st.sampled_from([0.0, 0.5, 0.99, 1.0])


class Make:
    """Makes the adder of a stream, for any writer."""

    def __init__(self, stream: Stream, n_step: int, discount: float = 0.99, **options: Any) -> None:
        self.stream, self.arguments = stream, {"n_step": n_step, "discount": discount, **options}
        self.signature = NStepTransitionAdder.signature(stream.spec, stream.extras)

    def __call__(self, writer: RecordingWriter) -> NStepTransitionAdder:
        stream = self.stream
        return NStepTransitionAdder(
            writer, stream.spec, stream.num_envs, extras=stream.extras, **self.arguments
        )


def run(make: Make) -> tuple[NStepTransitionAdder, RecordingWriter]:
    writer = RecordingWriter(make.signature)
    adder = make(writer)
    for transitions, _ in make.stream.vector_steps():
        adder.add(transitions)
    return adder, writer


def of_environment(items: list[Any], env: int) -> list[Any]:
    return [item for item in items if position(item["observation"])[0] == env]


def assert_items_equal(got: list[Any], expected: list[Any]) -> None:
    """Rewards are sums, whose order of addition is the adder's own affair."""
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one["reward"], other["reward"], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(one["discount"], other["discount"], rtol=1e-6)
        same = {"reward": np.float32(0), "discount": np.float32(0)}
        assert_equal(one | same, other | same)


@given(streams(), n_steps, discounts)
@settings(max_examples=80, deadline=None)
def test_items_are_those_of_the_reference_after_every_step(
    stream: Stream, n: int, discount: float
) -> None:
    make = Make(stream, n, discount)
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
            expected = reference.transitions(
                stream, reference.episodes_of(history[env]), n, discount
            )
            assert len(of_environment(writer.items, env)) == len(expected)
    for env in range(stream.num_envs):
        expected = reference.transitions(stream, reference.episodes_of(history[env]), n, discount)
        assert_items_equal(of_environment(writer.items, env), expected)


@given(streams(), n_steps)
@settings(max_examples=50, deadline=None)
def test_no_item_joins_two_episodes_and_every_step_is_written_once(stream: Stream, n: int) -> None:
    _, writer = run(Make(stream, n))
    for item in writer.items:
        env, episode, t = position(item["observation"])
        next_env, next_episode, next_t = position(item["next_observation"])
        assert (next_env, next_episode) == (env, episode)
        assert 1 <= next_t - t <= n
    keys = [tuple(position(item["observation"])) for item in writer.items]
    assert len(set(keys)) == len(keys)
    steps = [step for _, row in stream.vector_steps() for step in row if step is not None]
    last = {(s.env, s.episode) for s in steps if s.ended}
    finished = {(s.env, s.episode, s.t) for s in steps if (s.env, s.episode) in last}
    assert finished <= set(keys)


@given(st.data(), streams(), n_steps)
@settings(max_examples=40, deadline=None)
def test_a_restored_adder_goes_on_bit_equal(data: st.DataObject, stream: Stream, n: int) -> None:
    cut = data.draw(st.integers(0, len(stream.codes)))
    assert_goes_on_alike(Make(stream, n), stream, cut)


def test_the_example_of_the_docstring() -> None:
    for end, last_discounts in [(TRUNCATED, [0.125, 0.25, 0.5]), (TERMINATED, [0.0, 0.0, 0.0])]:
        _, writer = run(Make(single((5, end)), 3, 0.5))
        assert [position(item["observation"])[2] for item in writer.items] == [0, 1, 2, 3, 4]
        assert [position(item["next_observation"])[2] for item in writer.items] == [3, 4, 5, 5, 5]
        # Rewards are -5, 0, 5, -1, 4.
        rewards = [-5 + 0 + 1.25, 0 + 2.5 - 0.25, 5 - 0.5 + 1, -1 + 2, 4]
        assert [item["reward"] for item in writer.items] == rewards
        assert [item["discount"] for item in writer.items] == [0.125, 0.125, *last_discounts]


@pytest.mark.parametrize("n", [1, 2, 5])
def test_most_items_per_step_are_reached(n: int) -> None:
    adder, writer = run(Make(Stream([[GOES_ON] * 3] * (n - 1) + [[TRUNCATED] * 3]), n))
    assert writer.calls[-1] == adder.max_items_per_step == 3 * n


def test_a_next_step_reset_writes_nothing_and_separates_nothing_else() -> None:
    _, writer = run(Make(Stream([[TRUNCATED, GOES_ON], [INVALID, GOES_ON], [GOES_ON] * 2]), 2))
    found = [
        (*position(item["observation"]), *position(item["next_observation"]))
        for item in writer.items
    ]
    assert found == [(0, 0, 0, 0, 0, 1), (1, 0, 0, 1, 0, 2), (1, 0, 1, 1, 0, 3)]


@pytest.mark.parametrize("n", [1, 3])
def test_a_step_without_items_does_not_reach_the_writer(n: int) -> None:
    _, writer = run(Make(Stream([[INVALID, INVALID]]), n))
    assert writer.calls == []


def test_table_and_priority_are_passed_on() -> None:
    _, writer = run(Make(single((3, TERMINATED)), 2, table="mine", priority=2.5))
    assert writer.tables == ["mine"] * 3
    assert writer.priorities == [2.5] * 3


def test_reset_forgets_what_waits_in_the_masked_environments_only() -> None:
    stream = Stream([[GOES_ON, GOES_ON], [GOES_ON, GOES_ON], [TRUNCATED, TRUNCATED]])
    make = Make(stream, 3)
    writer = RecordingWriter(make.signature)
    adder = make(writer)
    steps = [transitions for transitions, _ in stream.vector_steps()]
    adder.add(steps[0])
    adder.add(steps[1])
    adder.reset(np.array([True, False]))
    adder.add(steps[2])
    assert [position(item["observation"])[2] for item in of_environment(writer.items, 0)] == [2]
    assert [position(item["observation"])[2] for item in of_environment(writer.items, 1)] == [
        0,
        1,
        2,
    ]


@pytest.mark.parametrize("n", [1, 2])
def test_other_dtypes_are_cast_to_the_signature(n: int) -> None:
    stream = single((2, TRUNCATED))
    make = Make(stream, n)
    writer = RecordingWriter(make.signature)  # which checks dtypes
    adder = make(writer)
    for transitions, _ in stream.vector_steps():
        adder.add(
            transitions._replace(
                observation=transitions.observation.astype(np.float64),
                action=transitions.action.astype(np.int32),
                reward=transitions.reward.astype(np.float64),
            )
        )
    assert [item["action"] for item in writer.items] == [1, 2]


def test_a_one_step_item_of_the_right_dtype_is_not_copied() -> None:
    class Keep:
        pending = 0

        def insert(self, table: str, items: Any, priorities: Any) -> None:
            self.items = items

        def flush(self, timeout: float, max_pending: int = 0) -> None: ...

    writer = Keep()
    (transitions, _), *_ = single((1, TERMINATED)).vector_steps()
    NStepTransitionAdder(writer, FLAT, 1, n_step=1, discount=0.9).add(transitions)
    assert writer.items["observation"] is transitions.observation
    assert writer.items["next_observation"] is transitions.next_observation


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observation": np.zeros((1, 1), np.float32)}, r"observation must be float32\[1, 3\]"),
        ({"action": np.zeros(1, np.float32)}, r"action must be int64\[1\].*Got: float32\[1\]"),
        ({"reward": np.zeros((1, 1), np.float32)}, r"reward must be float32\[1\]"),
        ({"extras": (np.zeros(1),)}, "extras declared to the adder"),
        ({"next_observation": {"position": np.zeros((1, 3))}}, "next_observation"),
    ],
)
def test_a_step_that_does_not_fit_is_refused_and_nothing_taken(change: Any, message: str) -> None:
    stream = single((2, TERMINATED))
    make = Make(stream, 2)
    writer = RecordingWriter(make.signature)
    adder = make(writer)
    before = adder.state()
    with pytest.raises(SignatureError, match=message):
        adder.add(stream.vector_steps()[0][0]._replace(**change))
    assert_equal(adder.state(), before)


def test_the_message_names_the_leaf() -> None:
    stream = Stream([[GOES_ON]], nested=True)
    transitions = stream.vector_steps()[0][0]
    number, _ = transitions.observation["others"]
    wrong = transitions.observation | {"others": (number, {"camera": np.zeros((1, 3), np.uint8)})}
    adder = Make(stream, 2)(RecordingWriter(()))
    with pytest.raises(SignatureError, match=r"observation\['others'\]\[1\]\['camera'\] must be"):
        adder.add(transitions._replace(observation=wrong))


@pytest.mark.parametrize(
    "change",
    [
        {"num_envs": 0},
        {"n_step": 0},
        {"discount": 1.01},
        {"discount": -0.1},
        {"discount": float("nan")},
        {"priority": -1.0},
        {"priority": float("inf")},
    ],
)
def test_arguments_out_of_range_are_refused_with_the_value(change: dict[str, Any]) -> None:
    arguments = {"num_envs": 1, "n_step": 1, "discount": 0.99} | change
    ((name, value),) = change.items()
    with pytest.raises(ConfigurationError, match=rf"{name} must .*Got: {name}={value}\."):
        NStepTransitionAdder(RecordingWriter(()), FLAT, **arguments)


@pytest.mark.parametrize("other", [Make(single((1, GOES_ON)), 3), Make(Stream([[GOES_ON] * 2]), 2)])
def test_a_state_of_another_shape_is_refused(other: Make) -> None:
    state = other(RecordingWriter(())).state()
    with pytest.raises(CheckpointMismatch, match=r"must be .* Got: "):
        Make(single((1, GOES_ON)), 2)(RecordingWriter(())).restore(state)


def test_an_empty_state_is_refused() -> None:
    with pytest.raises(CheckpointMismatch, match="Got: nothing"):
        Make(single((1, GOES_ON)), 2)(RecordingWriter(())).restore({})


def test_the_signature_has_extras_only_where_there_are_some() -> None:
    names = {"observation", "action", "reward", "discount", "next_observation"}
    assert set(NStepTransitionAdder.signature(NESTED)) == names
    extras = {"log_prob": ArraySpec((), np.float32)}
    assert NStepTransitionAdder.signature(NESTED, extras)["extras"] == extras
