"""What a server sends is read if it is right; anything else is our error, and named."""

import numpy as np
import pytest
from reverb_reference import reference
from reverb_responses import (
    FIXED,
    INT16,
    VARYING,
    make_table,
    our_samples,
    read_all,
    respond,
    sampled,
    tensor,
    their_sample,
    trajectory,
)

from greenroom.errors import ReplayDataError
from greenroom.replay.reverb_client.reading import BrokenStreamError, SampleReader
from greenroom.replay.reverb_client.tensors import encode_shape
from greenroom.replay.signature import Signature
from greenroom.specs import ArraySpec

# --- what is right --------------------------------------------------------------------------


def test_our_items_come_back():
    entries, keys, leaves = our_samples(5)
    table = make_table(FIXED)
    reader = SampleReader(table, Signature(table))
    reader.expected = 7
    reader.batch.reserve(5)
    reader.feed(respond(*entries))
    reader.read(3)
    assert (reader.batch.count, reader.hungry, reader.held_back) == (3, False, 1)
    reader.read(5)
    assert (reader.batch.count, reader.hungry, reader.held_back) == (5, True, 2)
    assert reader.expected == 2
    samples = reader.batch.take(5)
    for name, leaf in leaves.items():
        np.testing.assert_array_equal(samples.data[name], leaf, strict=True)
    np.testing.assert_array_equal(samples.keys, keys, strict=True)
    assert samples.priorities.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert samples.times_sampled.tolist() == [1, 101, 201, 301, 401]
    assert samples.probabilities.tolist() == [0.25] * 5
    assert samples.table_size.tolist() == [200] * 5


def test_reading_our_items_parses_no_message(monkeypatch):
    """Else the pattern would be of no use, and nothing else would tell."""
    response = respond(*our_samples(5)[0])
    wanted = reference(response, FIXED)
    monkeypatch.setattr("greenroom.replay.reverb_client.reading.messages", None)
    assert read_all(response, FIXED) == wanted


def test_items_of_official_writers_are_read():
    entry, steps = their_sample()
    (sample,) = read_all(respond(entry), VARYING)
    assert sample[:5] == (77, 1.0, 3, 0.25, 200)
    assert sample[5:] == (((2,), steps[7].tobytes()), ((5, 2), steps[4:9].tobytes()))


def test_a_sample_may_span_entries_and_responses():
    entry, _ = their_sample()
    first = {"info": entry["info"], "data": entry["data"][:1]}
    last = {"data": entry["data"][1:], "end_of_sequence": True}
    wanted = read_all(respond(entry), VARYING)
    assert read_all(respond(first, last), VARYING) == wanted

    table = make_table(VARYING)
    reader = SampleReader(table, Signature(table))
    reader.batch.reserve(1)
    reader.feed(respond(first))
    reader.read(1)
    assert (reader.batch.count, reader.hungry) == (0, True)
    reader.feed(respond(last))
    reader.read(1)
    assert reader.batch.count == 1


def test_what_was_unfinished_when_a_stream_ended_is_forgotten():
    entry, _ = their_sample()
    table = make_table(VARYING)
    reader = SampleReader(table, Signature(table))
    reader.batch.reserve(2)
    reader.feed(respond({"info": entry["info"], "data": entry["data"][:1]}))
    reader.read(2)
    reader.interrupt()
    reader.feed(respond(entry))
    reader.read(2)
    assert reader.batch.count == 1


def test_differences_wrap_around():
    steps = np.array([[250, 1], [7, 255], [7, 0]], np.uint8)
    differences = np.diff(steps, axis=0, prepend=np.zeros((1, 2), np.uint8))
    chunk = {"chunk_key": 5, "delta_encoded": True, "data": {"tensors": [tensor(differences)]}}
    item = {"key": 1, "flat_trajectory": trajectory((False, [(5, 0, 3, 0)]))}
    signature = {"x": ArraySpec((3, 2), np.dtype(np.uint8))}
    (sample,) = read_all(respond(sampled(item, [chunk])), signature)
    assert sample[-1] == ((3, 2), steps.tobytes())


# --- what is not ----------------------------------------------------------------------------

STEPS = np.ones((4, 2), INT16)
GOOD = (False, [(5, 0, 4, 0)])
WRONG = {
    "a chunk is missing": ([(False, [(6, 0, 4, 0)])], tensor(STEPS), "chunks"),
    "a tensor is missing": ([(False, [(5, 0, 4, 1)])], tensor(STEPS), "tensors"),
    "a negative index": ([(False, [(5, 0, 4, -1)])], tensor(STEPS), "tensors"),
    "a slice beyond the end": ([(False, [(5, 1, 4, 0)])], tensor(STEPS), "inside its chunk"),
    "a slice before the start": ([(False, [(5, -1, 4, 0)])], tensor(STEPS), "inside its chunk"),
    "a negative length": ([(False, [(5, 2, -1, 0)])], tensor(STEPS), "inside its chunk"),
    "no slices": ([(False, [])], tensor(STEPS), "slices"),
    "a squeeze of several steps": ([(True, [(5, 0, 4, 0)])], tensor(STEPS), "squeezed"),
    "no columns": ([], tensor(STEPS), "1 columns"),
    "two columns": ([GOOD, GOOD], tensor(STEPS), "1 columns"),
    "another dtype": ([GOOD], tensor(STEPS.astype(np.int32)), r"int16\[any, 2\].*int32\[4, 2\]"),
    "a dtype that numpy lacks": ([GOOD], tensor(STEPS, dtype=14), "dtype.*Got: 14"),
    "strings": ([GOOD], tensor(STEPS, dtype=7, tensor_content=b"\x01ab"), "dtype.*Got: 7"),
    "another shape": ([GOOD], tensor(np.ones((4, 3), INT16)), r"int16\[4, 3\]"),
    "another rank": ([GOOD], tensor(np.ones(4, INT16)), r"int16\[4\]"),
    "too few bytes": ([GOOD], tensor(STEPS[:3], tensor_shape=encode_shape((4, 2))), "16 bytes"),
    "too many bytes": ([GOOD], tensor(STEPS, tensor_shape=encode_shape((3, 2))), "intact"),
    "no bytes": ([GOOD], tensor(STEPS, tensor_content=b""), "16 bytes"),
    "no snappy": ([GOOD], tensor(STEPS, tensor_content=STEPS.tobytes()), "intact|hold"),
    "a scalar": ([GOOD], tensor(STEPS[:1, :1], tensor_shape=b""), "time"),
    "a negative dimension": ([GOOD], tensor(STEPS, tensor_shape=encode_shape((-4, -2))), "known"),
    "an unknown rank": ([GOOD], tensor(STEPS, tensor_shape=b"\x18\x01"), "known"),
    "no shape": ([GOOD], tensor(STEPS, tensor_shape=b"\xff"), "TensorShape"),
    "more than memory": ([GOOD], tensor(STEPS, tensor_shape=encode_shape((2**40, 2))), "too few"),
    "a false header": (
        [GOOD],
        tensor(STEPS, tensor_shape=encode_shape((20, 2)), tensor_content=b"\x50" + bytes(9)),
        "intact",
    ),
}


@pytest.mark.parametrize(("columns", "one", "message"), WRONG.values(), ids=WRONG)
def test_an_item_that_is_wrong_is_named_and_left_out(columns, one, message):
    signature = {"x": ArraySpec((None, 2), INT16)}
    chunk = {"chunk_key": 5, "data": {"tensors": [tensor(STEPS)]}}
    good = {"key": 1, "flat_trajectory": trajectory(GOOD)}
    bad = {"key": 2, "flat_trajectory": trajectory(*columns)}
    bad_chunk = {"chunk_key": 5, "data": {"tensors": [one]}}
    response = respond(sampled(good, [chunk]), sampled(bad, [bad_chunk]), sampled(good, [chunk]))
    table = make_table(signature)
    reader = SampleReader(table, Signature(table))
    reader.expected = 3
    reader.batch.reserve(3)
    reader.feed(response)
    with pytest.raises(ReplayDataError, match=f"Table 't', item 2: .*(?:{message})") as caught:
        reader.read(3)
    assert not isinstance(caught.value, BrokenStreamError)
    assert (reader.batch.count, reader.expected) == (1, 1)
    reader.read(3)
    data = reader.batch.take(2).data["x"]
    np.testing.assert_array_equal(data, np.ones((2, 4, 2), INT16), strict=True)


def test_a_truth_value_is_0_or_1():
    entries, _, _ = our_samples(2)
    response = respond(*entries)
    flags = np.frombuffer(reference(response, FIXED)[1][5][1], np.uint8)
    at = response.rindex(b"\x03\x08" + flags.tobytes())
    with pytest.raises(ReplayDataError, match=r"Truth values.*Got: 7"):
        read_all(response[: at + 2] + b"\x07" + response[at + 3 :], FIXED)


@pytest.mark.parametrize(
    "response",
    [
        b"\x0a",
        b"\x0a\x05ab",
        b"\xff" * 30,
        b"\x12\x00",
        respond({"data": [{"chunk_key": 1}]}),
        respond({"info": {"table_size": 1}}, {"info": {"table_size": 1}}),
    ],
    ids=["cut short", "longer than it is", "no field", "another field", "no info", "no end"],
)
def test_a_stream_that_is_broken_is_of_no_more_use(response):
    with pytest.raises(BrokenStreamError, match="Table 't'"):
        read_all(response, FIXED)
