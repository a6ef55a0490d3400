"""What we write, official clients read; what they write, we read. All against a real server."""

import numpy as np
import pytest

from greenroom.replay.reverb_client import ReverbReplay
from greenroom.replay.reverb_client.tensors import DTYPES
from greenroom.replay.tables import Table
from greenroom.specs import ArraySpec

NAMES = [dtype.name for dtype in DTYPES.values()]
SHAPES = [(), (1,), (3,), (2, 3), (0,), (2, 0, 3), (60,), (61,), (256,), (20, 17, 1)]


def random_array(generator, dtype, shape):
    """Any bits that are a value of the dtype; NaNs among them."""
    size = int(np.prod(shape, dtype=int)) * dtype.itemsize
    if dtype == np.bool_:
        return generator.random(shape) < 0.5
    return np.frombuffer(generator.bytes(size), dtype).reshape(shape)


def assert_same(got, wanted):
    """The same dtype, shape and bits: NaNs too."""
    assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
    assert got.tobytes() == wanted.tobytes()


@pytest.fixture
def served(reverb_process):
    """Start a server with one first-in, first-out table; return our client, and its port."""
    started = []

    def start(signature):
        table = Table.queue("t", 1_000, signature)
        port = reverb_process.start([table])
        replay = ReverbReplay(f"127.0.0.1:{port}", [table])
        started.append((replay, port))
        return replay, port

    yield start
    for replay, port in started:
        replay.close()
        reverb_process.stop(port)


# --- our writer, official sampler -----------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_official_clients_read_what_we_write(served, reverb_process, tmp_path, name):
    dtype = np.dtype(name)
    replay, port = served([ArraySpec(shape, dtype) for shape in SHAPES])
    generator = np.random.default_rng(1)
    leaves = [random_array(generator, dtype, (7, *shape)) for shape in SHAPES]
    writer = replay.writer()
    writer.insert("t", leaves, np.arange(7.0))
    writer.flush(timeout=10.0)
    facts = reverb_process.request(
        "sample", port=port, table="t", count=7, path=str(tmp_path / "out.npz")
    )

    assert [priority for *_, priority in facts] == list(range(7))
    assert len({key for key, *_ in facts}) == 7
    with np.load(tmp_path / "out.npz") as got:
        for row in range(7):
            for column, leaf in enumerate(leaves):
                assert_same(got[f"{row}.{column}"], leaf[row])


def test_official_clients_read_lengths_that_vary(served, reverb_process, tmp_path):
    signature = {
        "x": ArraySpec((None, 2), np.dtype(np.int16)),
        "y": ArraySpec((3,), np.dtype("f4")),
    }
    replay, port = served(signature)
    generator = np.random.default_rng(1)
    xs = [random_array(generator, np.dtype(np.int16), (length, 2)) for length in (3, 0, 500, 1)]
    ys = generator.random((4, 3), np.float32)
    writer = replay.writer()
    writer.insert("t", {"x": xs, "y": ys}, np.ones(4))
    writer.flush(timeout=10.0)
    reverb_process.request("sample", port=port, table="t", count=4, path=str(tmp_path / "out.npz"))
    with np.load(tmp_path / "out.npz") as got:
        for row in range(4):
            assert_same(got[f"{row}.0"], xs[row])
            assert_same(got[f"{row}.1"], ys[row])


# --- official writers, our sampler ----------------------------------------------------------

STEPS = 13


def write_steps(path, columns):
    np.savez(path, **{str(index): column for index, column in enumerate(columns)})
    return str(path)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("chunk_length", [1, 4, 13])
def test_we_read_what_the_trajectory_writer_writes(
    served, reverb_process, tmp_path, name, chunk_length
):
    """Whole chunks, parts of them, slices over several, single steps, and no dimension."""
    dtype = np.dtype(name)
    shapes = [(), (2, 3), (2, 0), (40,)]
    generator = np.random.default_rng(2)
    columns = [random_array(generator, dtype, (STEPS, *shape)) for shape in shapes]
    items = [
        [[0, 13], [0, 13], [0, 13], [0]],
        [[2, 3], [1, 7], [3, 4], [12]],
        [[4, 8], [7, 13], [0, 5], [5]],
        [[12, 13], [3, 11], [1, 2], [4]],
    ]
    signature = [
        ArraySpec((None,), dtype),
        ArraySpec((None, 2, 3), dtype),
        ArraySpec((None, 2, 0), dtype),
        ArraySpec((40,), dtype),
    ]
    replay, port = served(signature)
    reverb_process.request(
        "write_trajectories",
        port=port,
        table="t",
        steps=write_steps(tmp_path / "in.npz", columns),
        # One column is in chunks of other bounds than the rest.
        chunk_lengths=[chunk_length, max(1, chunk_length - 1), chunk_length, chunk_length],
        items=items,
    )
    sampler = replay.sampler("t")
    for item in items:
        got = sampler.sample(1, timeout=10.0).data
        for leaf, part, column in zip(got, item, columns, strict=True):
            wanted = column[slice(*part) if len(part) == 2 else part[0]]
            assert_same(leaf[0], wanted)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("delta_encoded", [False, True])
def test_we_read_what_the_legacy_writer_writes(
    served, reverb_process, tmp_path, name, delta_encoded
):
    """Items over several chunks; integers of two dimensions and more as differences that wrap."""
    dtype = np.dtype(name)
    shapes = [(), (2, 3), (30,)]
    generator = np.random.default_rng(3)
    columns = [random_array(generator, dtype, (STEPS, *shape)) for shape in shapes]
    lengths = [1, 0, 3, 2, 0, 6, 7, 0, 0, 10, 1, 0, 13]
    replay, port = served([ArraySpec((None, *shape), dtype) for shape in shapes])
    reverb_process.request(
        "write_timesteps",
        port=port,
        table="t",
        steps=write_steps(tmp_path / "in.npz", columns),
        chunk_length=4,
        delta_encoded=delta_encoded,
        lengths=lengths,
    )
    sampler = replay.sampler("t")
    for step, length in enumerate(lengths):
        if length:
            got = sampler.sample(1, timeout=10.0).data
            for leaf, column in zip(got, columns, strict=True):
                assert_same(leaf[0], column[step + 1 - length : step + 1])


def test_batches_of_items_from_different_writers_are_padded_alike(served, reverb_process, tmp_path):
    replay, port = served({"x": ArraySpec((None,), np.dtype(np.int32))})
    steps = np.arange(1, 6, dtype=np.int32)
    reverb_process.request(
        "write_trajectories",
        port=port,
        table="t",
        steps=write_steps(tmp_path / "in.npz", [steps]),
        chunk_lengths=[2],
        items=[[[1, 4]]],
    )
    writer = replay.writer()
    writer.insert("t", {"x": [np.array([7], np.int32)]}, np.ones(1))
    writer.flush(timeout=10.0)
    data = replay.sampler("t").sample(2, timeout=10.0).data
    assert data["x"].tolist() == [[2, 3, 4], [7, 0, 0]]
