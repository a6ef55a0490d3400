"""What a Reverb server sends: items of our writer's, and of the official ones; and our reader."""

import cramjam
import numpy as np

from greenroom.replay.reverb_client import messages
from greenroom.replay.reverb_client.items import ItemEncoder, random_keys
from greenroom.replay.reverb_client.layout import ItemLayout
from greenroom.replay.reverb_client.reading import SampleReader
from greenroom.replay.reverb_client.tensors import NUMBERS, encode_shape
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
