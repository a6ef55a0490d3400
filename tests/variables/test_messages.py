"""Messages are what they were after the wire, and nothing else is taken for one."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learner_tools import make_report

from greenroom.variables.messages import (
    ActorOrder,
    ActorReport,
    EvaluationOrder,
    EvaluationReport,
    VariablesHeader,
    VariablesRequest,
    decode,
    encode,
)

counts = st.integers(0, 2**62)
seconds = st.floats(0, 1e12)
returns = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(min_size=1, max_size=253)

MESSAGES = st.one_of(
    st.builds(
        ActorReport,
        actor=names,
        incarnation=names,
        environment_steps=counts,
        episodes=counts,
        recent_returns=st.lists(returns, max_size=100).map(tuple),
        acting_seconds=seconds,
        waiting_seconds=seconds,
        version=st.integers(-1, 2**62),
        dropped_items=counts,
        allowed_steps=counts,
        leaving=st.booleans(),
    ),
    st.builds(ActorOrder, counts, counts, counts, st.booleans()),
    st.builds(EvaluationOrder, st.booleans(), counts, counts, st.text()),
    st.lists(st.tuples(returns, counts), min_size=1, max_size=20).flatmap(
        lambda played: st.builds(
            EvaluationReport,
            environment_steps=counts,
            version=counts,
            learner=st.text(),
            returns=st.just(tuple(episode_return for episode_return, _ in played)),
            lengths=st.just(tuple(length for _, length in played)),
        )
    ),
    st.builds(VariablesRequest, st.integers(-1, 2**62), st.text()),
    st.builds(VariablesHeader, counts, st.text(), counts),
)


@settings(deadline=None)
@given(MESSAGES)
def test_a_message_is_the_same_after_the_wire(message):
    assert decode(type(message), encode(message)) == message


def test_whole_numbers_are_taken_for_seconds_and_returns():
    fields = dataclasses.asdict(make_report()) | {"acting_seconds": 3, "recent_returns": [1, 2.5]}
    report = decode(ActorReport, json.dumps(fields).encode())
    assert report.acting_seconds == 3.0
    assert report.recent_returns == (1.0, 2.5)
    assert all(type(value) is float for value in (report.acting_seconds, *report.recent_returns))


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("environment_steps", -1, "environment_steps must be at least 0. Got: -1"),
        ("environment_steps", 1.0, "environment_steps must be a whole number of 64 bits. Got: 1.0"),
        ("environment_steps", True, "must be a whole number"),
        ("environment_steps", None, "must be a whole number"),
        ("environment_steps", 2**63, "must be a whole number of 64 bits"),
        ("allowed_steps", -1, "allowed_steps must be at least 0"),
        ("version", -2, "version must be at least -1"),
        ("actor", "", "actor must have 1 to 253 characters"),
        ("actor", 7, "actor must be text. Got: 7"),
        ("incarnation", "x" * 254, "incarnation must have 1 to 253 characters"),
        ("acting_seconds", float("nan"), "acting_seconds must be a finite number. Got: nan"),
        ("waiting_seconds", -0.5, "waiting_seconds must be at least 0"),
        ("recent_returns", [1.0, float("inf")], "recent_returns must be a finite number. Got: inf"),
        ("recent_returns", [True], "must be a whole number"),
        ("recent_returns", {}, "recent_returns must be a list"),
        ("recent_returns", [0.0] * 101, "recent_returns must be 100 at most. Got: 101"),
    ],
)
def test_a_report_with_a_wrong_field_is_none(field, value, rule):
    fields = dataclasses.asdict(make_report()) | {field: value}
    with pytest.raises(ValueError, match=rule):
        decode(ActorReport, json.dumps(fields).encode())


@pytest.mark.parametrize("returns_and_lengths", [((), ()), ((1.0,), ()), ((1.0,), (1, 2))])
def test_an_evaluation_has_a_length_for_each_return(returns_and_lengths):
    with pytest.raises(ValueError, match="as many returns as lengths, one at least"):
        EvaluationReport(0, 0, "", *returns_and_lengths)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff", b"nonsense", b"[]", b"{}", b'{"newer_than": 1}', b"[" * 100_000, b"9" * 10_000],
)
def test_what_is_no_message_is_a_value_error(payload):
    with pytest.raises(ValueError, match="VariablesRequest must"):
        decode(VariablesRequest, payload)


def test_an_unknown_field_is_refused_by_name():
    with pytest.raises(ValueError, match=r"must have the fields .* Got: \['learner', 'new', 'newe"):
        decode(VariablesRequest, b'{"newer_than": 1, "learner": "", "new": 1}')
