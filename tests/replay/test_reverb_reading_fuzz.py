"""Whatever bytes a server sends: they are read as the reference reads them, or refused."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reverb_reference import Bad, reference
from reverb_responses import (
    FIXED,
    FLOAT32,
    INT16,
    VARYING,
    in_order,
    our_samples,
    read_all,
    respond,
    sampled,
    tensor,
    their_sample,
    trajectory,
)

from greenroom.errors import ReplayDataError
from greenroom.specs import ArraySpec


def check(response, signature, *originals):
    """It is refused, or read as it is, or as it was before a length was changed that is implied."""
    try:
        got = read_all(response, signature)
    except ReplayDataError:
        return
    possible = [original[: len(got)] for original in originals]
    with contextlib.suppress(Bad):
        possible.append(reference(response, signature))
    assert repr(got) in map(repr, possible)  # NaN is NaN


OURS = respond(*our_samples(3)[0])
THEIRS = respond(their_sample()[0], their_sample()[0])
CASES = {
    "ours": (OURS, FIXED, reference(OURS, FIXED)),
    "theirs": (THEIRS, VARYING, reference(THEIRS, in_order(VARYING))),
}


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_changed_bytes_are_never_misread(case, data):
    response, signature, original = CASES[case]
    changed = bytearray(response)
    # One change alone: of two, one could be to a length that is implied, and one to data.
    at = data.draw(st.integers(0, len(response) - 1))
    changed[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(response))))
    check(bytes(changed[:cut]), in_order(signature), original)


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_moved_bytes_are_never_misread(case, data):
    response, signature, original = CASES[case]
    at, length, to = (data.draw(st.integers(0, len(response))) for _ in range(3))
    piece = response[at : at + length % 40]
    check(response[:to] + piece + response[to:], in_order(signature), original)
    check(response[:at] + response[at + len(piece) :], in_order(signature), original)


small = st.integers(-1, 4)
arrays = st.builds(
    lambda shape, dtype: np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype),
    st.lists(st.integers(0, 3), max_size=3).map(tuple),
    st.sampled_from([INT16, np.dtype(np.uint16), FLOAT32]),
)
contents = st.one_of(st.none(), st.binary(max_size=12))


@st.composite
def chunks(draw):
    tensors = []
    for array in draw(st.lists(arrays, max_size=2)):
        content = draw(contents)
        changes = {} if content is None else {"tensor_content": content}
        tensors.append(tensor(array.reshape(array.shape or (1,)), **changes))
    return {
        "chunk_key": draw(st.integers(5, 7)),
        "delta_encoded": draw(st.booleans()),
        "data": {"tensors": tensors},
    }


columns = st.tuples(
    st.booleans(), st.lists(st.tuples(st.integers(5, 7), small, small, small), max_size=3)
)


@settings(max_examples=400, deadline=None)
@given(st.lists(chunks(), max_size=3), st.lists(columns, max_size=2))
def test_items_of_any_structure_are_read_or_refused(chunks, columns):
    item = {"key": 1, "flat_trajectory": trajectory(*columns)}
    check(respond(sampled(item, chunks)), {"x": ArraySpec((None, 2), INT16)})
