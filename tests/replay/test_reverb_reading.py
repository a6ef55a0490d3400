"""Whatever a server sends: what is right is read, anything else is our error.

A reader of the protocol that is slow and plain decides (`reference`); it shares no code
with the one that is tested.
"""

import contextlib

import cramjam
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.errors import ReplayDataError
from greenroom.replay.reverb_client import messages
from greenroom.replay.reverb_client.items import ItemEncoder, random_keys
from greenroom.replay.reverb_client.layout import ItemLayout
from greenroom.replay.reverb_client.reading import BrokenStreamError, SampleReader
from greenroom.replay.reverb_client.tensors import DTYPES, NUMBERS, encode_shape
from greenroom.replay.signature import Signature
from greenroom.replay.tables import Table
from greenroom.specs import ArraySpec

INT16, FLOAT32, BOOL = (np.dtype(name) for name in ("int16", "float32", "bool"))
FIXED = {
    "flag": ArraySpec((3,), BOOL),
    "frame": ArraySpec((600,), INT16),  # compressed
    "number": ArraySpec((), FLOAT32),
    "vector": ArraySpec((2, 2), INT16),
}
VARYING = {"steps": ArraySpec((None, 2), INT16), "last": ArraySpec((2,), INT16)}


# --- the reference ------------------------------------------------------------------------


class Bad(Exception):
    pass


def demand(condition):
    if not condition:
        raise Bad


def reference(response, signature):
    """Return the finished samples of a response: (key, priority, ...), then the leaves' bytes."""
    samples, info = [], None
    try:
        entries = messages.SampleResponse.FromString(response).entries
    except Exception:
        raise Bad from None
    for entry in entries:
        demand(entry.HasField("info") == (info is None))
        if info is None:
            info, chunks = entry.info, {}
        chunks.update((chunk.chunk_key, chunk) for chunk in entry.data)
        if entry.end_of_sequence:
            item = info.item
            facts = (item.key, item.priority, item.times_sampled, info.probability)
            samples.append(
                (*facts, info.table_size, *reference_leaves(item, chunks, list(signature.values())))
            )
            info = None
    return samples


def reference_leaves(item, chunks, specs):
    try:
        columns = messages.Trajectory.FromString(item.flat_trajectory).columns
    except Exception:
        raise Bad from None
    demand(len(columns) == len(specs))
    for column, spec in zip(columns, specs, strict=True):
        parts = []
        for one in column.chunk_slices:
            demand(one.chunk_key in chunks)
            chunk = chunks[one.chunk_key]
            demand(0 <= one.index < len(chunk.data.tensors))
            steps = reference_tensor(chunk.data.tensors[one.index], chunk.delta_encoded, spec)
            demand(0 <= one.offset <= one.offset + one.length <= len(steps))
            parts.append(steps[one.offset :][: one.length])
        demand(parts)
        demand(len({part.shape[1:] for part in parts}) == 1)
        joined = np.concatenate(parts)
        if column.squeeze:
            demand(len(joined) == 1)
            (joined,) = joined
        demand(joined.ndim == len(spec.shape))
        wanted = tuple(n or joined.shape[i] for i, n in enumerate(spec.shape))
        demand(joined.shape == wanted)
        yield joined.shape, joined.tobytes()


def reference_tensor(tensor, delta_encoded, spec):
    demand(DTYPES.get(tensor.dtype) == spec.dtype)
    try:
        shape = messages.TensorShape.FromString(tensor.tensor_shape)
        content = tensor.tensor_content or b"\0"
        content = bytes(cramjam.snappy.decompress_raw(content))
    except Exception:
        raise Bad from None
    lengths = [dim.size for dim in shape.dim]
    demand(lengths and min(lengths) >= 0 and not shape.unknown_rank)
    demand(np.prod(lengths, dtype=object) * spec.dtype.itemsize == len(content))
    demand(spec.dtype != BOOL or set(content) <= {0, 1})
    array = np.frombuffer(content, spec.dtype).reshape(lengths).copy()
    if delta_encoded and spec.dtype.kind in "iu" and array.ndim > 1:
        for step in range(1, len(array)):
            array[step] += array[step - 1]
    return array


# --- responses ------------------------------------------------------------------------------


def make_table(signature):
    return Table.queue("t", 10, signature)


def read_all(response, signature):
    """Read a response with the reader that is tested, into the reference's form."""
    table = make_table(signature)
    reader = SampleReader(table, Signature(table))
    reader.batch.reserve(64)
    reader.feed(response)
    reader.read(64)
    assert reader.hungry
    samples = []
    for _ in range(reader.batch.count):
        one = reader.batch.take(1)
        leaves = [one.data[name][0] for name in sorted(signature)]
        samples.append(
            (
                *(int(one.keys[0]), float(one.priorities[0]), int(one.times_sampled[0])),
                *(float(one.probabilities[0]), int(one.table_size[0])),
                *((leaf.shape, leaf.tobytes()) for leaf in leaves),
            )
        )
    return samples


def in_order(signature):
    return {name: signature[name] for name in sorted(signature)}


def respond(*entries):
    return messages.SampleResponse(entries=entries).SerializeToString()


def sampled(item, chunks, **facts):
    """One whole sample, as a server sends it."""
    return {
        "info": {"item": item, "probability": 0.25, "table_size": 200} | facts,
        "data": chunks,
        "end_of_sequence": True,
    }


def our_samples(count, seed=0):
    """What the server makes of items that our writer wrote, and the items."""
    generator = np.random.default_rng(seed)
    leaves = {
        "flag": generator.random((count, 3)) < 0.5,
        "frame": generator.integers(-5, 5, (count, 600), INT16),
        "number": generator.random(count, FLOAT32),
        "vector": generator.integers(-9, 9, (count, 2, 2), INT16),
    }
    encoder = ItemEncoder(ItemLayout("t", Signature(make_table(FIXED)).specs))
    keys, priorities = random_keys(generator, count), np.arange(count) / 2  # one is 0
    entries = []
    for index, part in enumerate(encoder.encode(keys, list(leaves.values()), priorities)):
        request = messages.InsertRequest.FromString(part)
        item = request.items[0]
        item.times_sampled = 1 + 100 * index
        item.inserted_at = b"\x08\x99\xb0\x96\xd8\x06\x10\xd2\xbc\xdf\x92\x03"
        entries.append(sampled(item, request.chunks, rate_limited=bool(index % 2)))
    return entries, keys, leaves


def tensor(array, **changes):
    content = bytes(cramjam.snappy.compress_raw(np.ascontiguousarray(array)))
    fields = {
        "dtype": NUMBERS[array.dtype],
        "tensor_shape": encode_shape(array.shape),
        "tensor_content": content,
    }
    return fields | changes


def trajectory(*columns):
    """Columns of (squeeze, [(chunk, offset, length, index), ...])."""
    return messages.Trajectory(
        columns=[
            {
                "squeeze": squeeze,
                "chunk_slices": [
                    {"chunk_key": key, "offset": offset, "length": length, "index": index}
                    for key, offset, length, index in slices
                ],
            }
            for squeeze, slices in columns
        ]
    ).SerializeToString()


def their_sample():
    """An item as an official writer writes it: chunks of several steps, and slices of them."""
    steps = np.arange(20, dtype=INT16).reshape(10, 2)
    chunks = [
        {"chunk_key": 5, "data": {"tensors": [tensor(steps[:6])]}},
        {"chunk_key": 6, "data": {"tensors": [tensor(steps[6:]), tensor(steps[:1])]}},
    ]
    item = {
        "key": 77,
        "table": "t",
        "priority": 1.0,
        "times_sampled": 3,
        "flat_trajectory": trajectory(
            (True, [(6, 1, 1, 0)]), (False, [(5, 4, 2, 0), (6, 0, 3, 0)])
        ),
    }
    return sampled(item, chunks), steps


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


# --- fuzz -------------------------------------------------------------------------------------


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
