"""A reader of what a Reverb server sends that is slow and plain: it decides what is right.

It shares no code with the one that is tested.
"""

import cramjam
import numpy as np

from greenroom.replay.reverb_client import messages
from greenroom.replay.reverb_client.tensors import DTYPES

BOOL = np.dtype(np.bool_)


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
