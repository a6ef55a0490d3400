"""Spaces survive JSON exactly."""

import json

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.errors import EnvironmentSetupError
from greenroom.spaces import array_specs, space_from_json, space_to_json

SPACES = [
    spaces.Box(-1, 1, (3, 2)),
    spaces.Box(-np.inf, np.inf, ()),
    spaces.Box(np.array([-np.inf, 0.1]), np.array([3.0, np.inf]), dtype=np.float64),
    spaces.Box(0, 255, (4, 4, 1), np.uint8),
    spaces.Box(0, 2**64 - 1, (2,), np.uint64),
    spaces.Box(-np.inf, np.inf, (2,), np.int64),
    spaces.Box(np.array([-5, -(2**63)]), np.array([2**62 + 1, 7]), dtype=np.int64),
    spaces.Box(0, 1, (2,), bool),
    spaces.Box(0, 1, (0, 3)),
    spaces.Box(np.array([0.1, 0.2], np.float16), 1.0, dtype=np.float16),
    spaces.Discrete(4),
    spaces.Discrete(3, start=-1, dtype=np.int32),
    spaces.MultiDiscrete([3, 4, 5]),
    spaces.MultiDiscrete(np.array([[1, 2], [3, 4]]), dtype=np.int16, start=[[0, -1], [5, 0]]),
    spaces.MultiBinary(5),
    spaces.MultiBinary([5]),
    spaces.MultiBinary((2, 3)),
    spaces.Tuple([]),
    spaces.Dict(
        {
            "z": spaces.Tuple([spaces.Discrete(2), spaces.Dict({"x": spaces.Box(0, 1, (1,))})]),
            "a": spaces.MultiBinary(1),
        }
    ),
    spaces.Dict({"z": spaces.Discrete(2), "a": spaces.Discrete(3)}, sort_keys=False),
]


def assert_same(space, other):
    assert type(space) is type(other)
    assert other == space
    assert array_specs(other) == array_specs(space)
    match space:
        case spaces.Box():  # equality of boxes is only approximate
            for name in ("low", "high", "bounded_below", "bounded_above"):
                ours, theirs = getattr(space, name), getattr(other, name)
                assert ours.dtype == theirs.dtype
                assert ours.tobytes() == theirs.tobytes()
        case spaces.Dict():
            assert list(space) == list(other)
            for key in space:
                assert_same(space[key], other[key])
        case spaces.Tuple():
            for sub, other_sub in zip(space, other, strict=True):
                assert_same(sub, other_sub)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_round_trip(space):
    text = json.dumps(space_to_json(space), allow_nan=False)
    assert_same(space, space_from_json(json.loads(text)))


@settings(max_examples=80, deadline=None)
@given(
    bounds=st.lists(
        st.tuples(st.floats(allow_nan=False, width=32), st.floats(allow_nan=False, width=32)),
        min_size=1,
        max_size=5,
    ),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_bounds_are_exact(bounds, dtype):
    low = np.array([min(pair) for pair in bounds], dtype)
    high = np.array([max(pair) for pair in bounds], dtype)
    space = spaces.Box(low, high, dtype=dtype)
    restored = space_from_json(json.loads(json.dumps(space_to_json(space), allow_nan=False)))
    np.testing.assert_array_equal(restored.low, low)
    np.testing.assert_array_equal(restored.high, high)
    assert restored.dtype == space.dtype


def test_equal_bounds_are_stored_once():
    description = space_to_json(spaces.Box(0, 255, (84, 84, 4), np.uint8))
    assert (description["low"], description["high"]) == (0, 255)


def test_unsupported_spaces_are_refused():
    with pytest.raises(EnvironmentSetupError, match=r"A space must be Box.*Got: .*Text"):
        space_to_json(spaces.Tuple([spaces.Text(3)]))
    with pytest.raises(EnvironmentSetupError, match=r"described space must be.*Got: 'Graph'"):
        space_from_json({"type": "Graph"})
