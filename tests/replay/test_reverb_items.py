"""What we put together by hand is what Reverb's messages say; parsing them decides."""

import cramjam
import numpy as np
import pytest

from greenroom.replay.reverb_client import messages
from greenroom.replay.reverb_client.items import ItemEncoder, random_keys
from greenroom.replay.reverb_client.layout import ItemLayout
from greenroom.replay.reverb_client.replay import encode_updates
from greenroom.replay.reverb_client.tensors import DTYPES, decode_shape
from greenroom.replay.reverb_client.wire import decode_keys, encode_keys, read_varint, varint
from greenroom.specs import ArraySpec

NUMBERS = [0, 1, 127, 128, 16_383, 16_384, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]


@pytest.mark.parametrize("number", NUMBERS)
def test_varints_are_protobufs(number):
    encoded = messages.Item(key=number).SerializeToString().removeprefix(b"\x08")
    assert varint(number) == (encoded or b"\0")
    assert read_varint(varint(number)) == number


def test_keys_of_any_size_are_understood_at_one_length():
    keys = np.array(NUMBERS, np.uint64)
    encoded = encode_keys(keys)
    assert encoded.shape == (len(NUMBERS), 10)
    for row, number in zip(encoded, NUMBERS, strict=True):
        assert messages.Item.FromString(b"\x08" + row.tobytes()).key == number
    np.testing.assert_array_equal(decode_keys(encoded), keys, strict=True)


def test_random_keys_have_the_shortest_varint_of_that_length():
    keys = random_keys(np.random.default_rng(0), 1_000)
    assert len(set(keys.tolist())) == 1_000
    assert [varint(key) for key in keys.tolist()] == [row.tobytes() for row in encode_keys(keys)]


def test_new_priorities_are_a_mutate_request():
    keys = np.array(NUMBERS, np.uint64)
    priorities = np.arange(len(keys)) / 3
    request = messages.MutateRequest.FromString(encode_updates("t", keys, priorities))
    assert request.table == "t"
    assert [update.key for update in request.updates] == NUMBERS
    assert [update.priority for update in request.updates] == priorities.tolist()


# Around the bounds of a literal's header, of what is compressed, and of a length's varint.
SIZES = [0, 1, 59, 60, 61, 127, 128, 255, 256, 257, 511, 512, 513, 20_000]


def encode(specs, leaves, keys, priorities):
    encoder = ItemEncoder(ItemLayout("some table", specs))
    parts = encoder.encode(keys, leaves, priorities)
    return [messages.InsertRequest.FromString(part) for part in parts]


def read_leaf(request, column):
    """Follow a column to its one step, as any reader of the protocol would."""
    (chunk,) = request.chunks
    (item,) = request.items
    one = messages.Trajectory.FromString(item.flat_trajectory).columns[column]
    assert one.squeeze
    (part,) = one.chunk_slices
    assert (part.chunk_key, part.offset, part.length) == (chunk.chunk_key, 0, 1)
    tensor = chunk.data.tensors[part.index]
    shape = decode_shape(tensor.tensor_shape)
    assert shape[0] == 1
    content = bytes(cramjam.snappy.decompress_raw(tensor.tensor_content))
    return np.frombuffer(content, DTYPES[tensor.dtype]).reshape(shape)[0]


def test_items_are_insert_requests():
    specs = [ArraySpec((size,), np.dtype(np.uint8)) for size in SIZES]
    specs += [ArraySpec((), np.dtype(np.float64)), ArraySpec((None, 3), np.dtype(np.int16))]
    generator = np.random.default_rng(0)
    leaves = [generator.integers(0, 256, (4, size), np.uint8) for size in SIZES]
    leaves += [generator.random(4)]
    leaves += [[generator.integers(-9, 9, (n, 3), np.int16) for n in (0, 1, 5, 3_000)]]
    keys, priorities = random_keys(generator, 4), np.array([0.0, 0.5, 1.0, 1e300])
    requests = encode(specs, leaves, keys, priorities)

    for row, request in enumerate(requests):
        (chunk,), (item,) = request.chunks, request.items
        assert (item.table, item.key, item.priority) == ("some table", keys[row], priorities[row])
        assert chunk.sequence_range.episode_id == chunk.chunk_key == keys[row]
        assert chunk.data_tensors_len == len(chunk.data.tensors) == len(specs)
        assert len(messages.Trajectory.FromString(item.flat_trajectory).columns) == len(specs)
        for column, leaf in enumerate(leaves):
            got = read_leaf(request, column)
            np.testing.assert_array_equal(got, leaf[row], strict=True)


@pytest.mark.parametrize(
    "leaf",
    [
        np.arange(24, dtype=np.int32).reshape(4, 6)[:, ::2],
        np.asfortranarray(np.arange(12.0).reshape(4, 3)),
        np.broadcast_to(np.float64([1.0, 2.0, 3.0]), (4, 3)),
        np.asfortranarray(np.arange(1200.0).reshape(4, 300)),
    ],
    ids=["strided", "fortran", "broadcast", "fortran, compressed"],
)
def test_leaves_may_lie_in_memory_in_any_way(leaf):
    keys = random_keys(np.random.default_rng(0), 4)
    requests = encode([ArraySpec(leaf.shape[1:], leaf.dtype)], [leaf], keys, np.ones(4))
    for row, request in enumerate(requests):
        np.testing.assert_array_equal(read_leaf(request, 0), leaf[row], strict=True)
