"""What the client of a Reverb server does beyond what every replay does; on real servers."""

import subprocess
import sys
import threading
import time
from collections import OrderedDict

import numpy as np
import pytest
from replay_tools import NUMBER, insert, make_table, numbers

from greenroom.errors import (
    ConfigurationError,
    ReplayTimeout,
    SignatureError,
)
from greenroom.replay.reverb_client import ReverbReplay
from greenroom.replay.tables import Prioritized, RateLimiter, Table
from greenroom.specs import ArraySpec

FLOAT32 = np.dtype(np.float32)


# --- what is asked of the process ------------------------------------------------------------


def test_it_imports_neither_tensorflow_nor_torch():
    program = """
import re, sys
import greenroom.replay.reverb_client
heavy = {"gymnasium", "reverb", "tensorflow", "torch"} & set(sys.modules)
assert not heavy, heavy
# Of this program alone: what getrusage tells begins with what pytest had.
mebibytes = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
assert mebibytes < 80, mebibytes
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_it_goes_with_the_official_client_in_one_process(reverb_process):
    """Two descriptions of the same messages would clash in protobuf's default pool."""
    assert reverb_process.request("import_ours_too") == "deepmind.reverb.SampleInfo"


# --- signatures ------------------------------------------------------------------------------

WANTED = {"a": ArraySpec((3,), FLOAT32), "b": NUMBER}
OTHERS = {
    "dtype": (WANTED | {"a": ArraySpec((3,), np.dtype(np.float64))}, r"items\['a'\] float32\[3\]"),
    "shape": (WANTED | {"b": ArraySpec((1,), NUMBER.dtype)}, r"items\['b'\] int64\[\]"),
    "rank": (WANTED | {"a": ArraySpec((3, 1), FLOAT32)}, r"items\['a'\] float32\[3\]"),
    "name": ({"a": WANTED["a"], "c": NUMBER}, r"items\['b'\].*items\['c'\]"),
    "more": (WANTED | {"c": NUMBER}, "must have 2 leaves.*Got: 3"),
    "fewer": ({"a": WANTED["a"]}, "must have 2 leaves.*Got: 1"),
}


@pytest.mark.parametrize(("theirs", "message"), OTHERS.values(), ids=OTHERS)
def test_nothing_is_written_or_read_under_another_signature(serve, connect, theirs, message):
    address = serve(make_table(signature=theirs))
    replay = connect(address, make_table(signature=WANTED))
    writer = replay.writer()
    items = {"a": np.zeros((1, 3), np.float32), "b": numbers(1)}
    writer.insert("t", items, np.ones(1))
    with pytest.raises(SignatureError, match=f"Table 't'.*{message}"):
        writer.flush(timeout=5.0)
    with pytest.raises(SignatureError, match="Table 't'"):
        writer.insert("t", items, np.ones(1))
    with pytest.raises(SignatureError, match="Table 't'"):
        replay.sampler("t").sample(1, timeout=5.0)
    assert replay.info()["t"].inserts == 0


def test_a_server_may_name_by_position_what_is_named_here(serve, connect):
    """Of a named tuple or an ordered dictionary its description keeps the order alone."""
    ours, theirs = OrderedDict(b=NUMBER, a=WANTED["a"]), (NUMBER, WANTED["a"])
    replay = connect(serve(make_table(signature=theirs)), make_table(signature=ours))
    writer = replay.writer()
    writer.insert("t", OrderedDict(b=numbers(7), a=np.zeros((1, 3), np.float32)), np.ones(1))
    writer.flush(timeout=5.0)
    assert replay.sampler("t").sample(1, timeout=5.0).data["b"].tolist() == [7]


def test_lengths_that_vary_there_may_be_fixed_here_but_not_the_reverse(serve, connect):
    fixed, varying = ArraySpec((2,), FLOAT32), ArraySpec((None,), FLOAT32)
    address = serve(make_table(name="v", signature=varying), make_table(name="f", signature=fixed))
    item = np.ones((1, 2), np.float32)
    writer = connect(address, make_table(name="v", signature=fixed)).writer()
    writer.insert("v", item, np.ones(1))
    writer.flush(timeout=5.0)
    writer = connect(address, make_table(name="f", signature=varying)).writer()
    writer.insert("f", list(item), np.ones(1))
    with pytest.raises(SignatureError, match=r"float32\[any\].*Got: items float32\[2\]"):
        writer.flush(timeout=5.0)


def test_a_table_that_the_server_lacks_is_named(serve, connect):
    replay = connect(serve(make_table(name="a")), make_table(name="a"), make_table(name="b"))
    with pytest.raises(SignatureError, match=r"\['a', 'b'\]. Got: \['a'\]"):
        replay.info()
    writer = replay.writer()
    writer.insert("a", numbers(1), np.ones(1))
    with pytest.raises(SignatureError, match=r"Got: \['a'\]"):
        writer.flush(timeout=5.0)


@pytest.mark.parametrize(
    "tables",
    [
        [],
        [make_table(), make_table()],
        [make_table(signature=ArraySpec((), np.dtype("S5")))],
        [make_table(signature=ArraySpec((), np.dtype(">f4")))],
        [make_table(signature={})],
    ],
    ids=["none", "twice", "strings", "big-endian", "no leaves"],
)
def test_tables_that_cannot_be_are_refused(tables):
    with pytest.raises(ConfigurationError, match="Got"):
        ReverbReplay("127.0.0.1:1", tables)


# --- writing ---------------------------------------------------------------------------------


def test_one_writer_serves_several_tables(serve, connect):
    tables = [make_table(name=name, max_size=5_000) for name in ("a", "b", "c")]
    replay = connect(serve(*tables), *tables)
    writer = replay.writer()
    for step in range(300):
        writer.insert("abc"[step % 3], np.arange(step, step + 10), np.ones(10))
    writer.flush(timeout=30.0)
    assert [replay.info()[name].inserts for name in "abc"] == [1_000] * 3


def test_items_larger_than_grpcs_default_limit(serve, connect):
    table = Table.queue("t", 4, ArraySpec((6_000_000,), np.dtype(np.uint8)))
    replay = connect(serve(table), table)
    items = np.random.default_rng(0).integers(0, 256, (2, 6_000_000), np.uint8)
    writer = replay.writer()
    writer.insert("t", items, np.ones(2))
    writer.flush(timeout=30.0)
    np.testing.assert_array_equal(replay.sampler("t").sample(2, timeout=30.0).data, items)


def test_no_items_are_no_trouble(serve, connect):
    table = make_table()
    writer = connect(serve(table), table).writer()
    writer.insert("t", numbers(), np.ones(0))
    writer.flush(timeout=0.0)
    assert writer.pending == 0


def test_what_waits_names_each_table_and_what_it_waits_for(serve, connect):
    tables = [Table.queue(name, 1, NUMBER) for name in ("a", "b")]
    writer = connect(serve(*tables), *tables).writer()
    for name in ("a", "b", "b"):
        writer.insert(name, numbers(1, 2), np.ones(2))
    with pytest.raises(ReplayTimeout) as caught:
        writer.flush(timeout=0.3)
    assert type(caught.value) is ReplayTimeout
    message = str(caught.value)
    assert "Table 'a' waited 0.3 s to insert 1 items: the learner is behind (diff 2" in message
    assert "Table 'b' waited 0.3 s to insert" in message


# --- sampling --------------------------------------------------------------------------------


@pytest.mark.parametrize("prefetch", [0, 1, 7, 100])
def test_samples_are_asked_for_ahead_and_none_is_lost(serve, connect, prefetch):
    table = Table.queue("t", 1_000, NUMBER)
    address = serve(table)
    insert(connect(address, table), *range(300))
    replay = connect(address, table, prefetch=prefetch)
    sampler = replay.sampler("t")
    got = sampler.sample(10, timeout=5.0).data.tolist()
    deadline = time.monotonic() + 5.0
    while replay.info()["t"].samples < 10 + prefetch and time.monotonic() < deadline:
        time.sleep(0.01)
    assert replay.info()["t"].samples == 10 + prefetch
    for size in (1, 90, 199):
        got += sampler.sample(size, timeout=5.0).data.tolist()
    assert got == list(range(300))


def test_a_request_ahead_survives_a_limiter_that_holds_back(serve, connect):
    table = Table.queue("t", 100, NUMBER)
    address = serve(table)
    replay = connect(address, table, prefetch=20)
    sampler = replay.sampler("t")
    insert(replay, 1, 2, 3)
    assert sampler.sample(2, timeout=5.0).data.tolist() == [1, 2]
    with pytest.raises(ReplayTimeout, match="has drawn 1: it has 0 items, needs 1"):
        sampler.sample(2, timeout=2.5)  # longer than one request may wait
    insert(replay, 4, 5)
    assert sampler.sample(3, timeout=5.0).data.tolist() == [3, 4, 5]


def test_no_request_outlives_a_call_without_prefetch(serve, connect):
    table = Table.queue("t", 100, NUMBER)
    replay = connect(serve(table), table)
    with pytest.raises(ReplayTimeout, match=r"waited 0.2 s for 5 samples and has drawn 0"):
        replay.sampler("t").sample(5, timeout=0.2)
    insert(replay, 1, 2, 3)
    time.sleep(0.1)
    assert replay.info()["t"].samples == 0


def test_the_message_says_which_side_is_waited_for(serve, connect):
    limiter = RateLimiter.sample_to_insert_ratio(2.0, min_size=2, error_buffer=2.0)
    table = make_table(limiter=limiter)
    replay = connect(serve(table), table)
    with pytest.raises(ReplayTimeout, match="it has 0 items, needs 2") as caught:
        replay.sampler("t").sample(1, timeout=0.05)
    assert type(caught.value) is ReplayTimeout
    insert(replay, 1, 2)
    replay.sampler("t").sample(2, timeout=5.0)
    with pytest.raises(ReplayTimeout, match=r"drawn 0: waiting for inserts.*min_diff 2"):
        replay.sampler("t").sample(1, timeout=0.05)


# --- what is known of it ---------------------------------------------------------------------


def test_waits_are_counted_for_the_side_that_waited(serve, connect):
    table = Table.queue("t", 2, NUMBER)
    replay = connect(serve(table), table)
    insert(replay, 1, 2)
    sampler = replay.sampler("t")
    sampler.sample(2, timeout=5.0)
    assert replay.info()["t"].sample_wait_seconds == 0.0

    with pytest.raises(ReplayTimeout):
        sampler.sample(1, timeout=0.3)
    assert 0.25 < replay.info()["t"].sample_wait_seconds < 1.0

    late = threading.Timer(0.3, lambda: insert(replay, 3))
    late.start()
    sampler.sample(1, timeout=5.0)
    late.join()
    assert 0.5 < replay.info()["t"].sample_wait_seconds < 1.5

    before = replay.info()["t"].insert_wait_seconds
    writer = replay.writer()
    writer.insert("t", numbers(4, 5, 6), np.ones(3))
    with pytest.raises(ReplayTimeout):
        writer.flush(timeout=0.3)
    assert 0.25 < replay.info()["t"].insert_wait_seconds - before < 1.0


def test_priorities_of_items_that_others_wrote(serve, connect, reverb_process, tmp_path):
    """Official writers' keys have any length on the wire, ours have one."""
    table = make_table(sampler=Prioritized(1.0), signature=NUMBER)
    address = serve(table)
    replay = connect(address, table)
    np.savez(tmp_path / "in.npz", **{"0": np.arange(20)})
    reverb_process.request(
        "write_trajectories",
        port=int(address.split(":")[1]),
        table="t",
        steps=str(tmp_path / "in.npz"),
        chunk_lengths=[1],
        items=[[[step]] for step in range(20)],
    )
    sampler = replay.sampler("t")
    samples = sampler.sample(1_000, timeout=10.0)
    keys = dict(zip(samples.data.tolist(), samples.keys, strict=True))
    assert len(keys) == 20
    replay.update_priorities(
        "t", np.array([keys[value] for value in range(20)]), np.arange(20) / 100
    )
    samples = sampler.sample(1_000, timeout=10.0)
    np.testing.assert_array_equal(samples.priorities, samples.data / 100)
