"""A Reverb server that is killed, stopped or frozen while clients write and sample."""

import signal
import threading
import time

import numpy as np
import pytest
from replay_tools import NUMBER, insert, numbers
from reverb_server import ReverbProcess, free_port

from greenroom.errors import ReplayUnavailable, SignatureError
from greenroom.replay.reverb_client import ReverbReplay
from greenroom.replay.tables import Table
from greenroom.specs import ArraySpec


@pytest.fixture
def spare_process(tmp_path):
    """A process that a test may do anything to."""
    process = ReverbProcess(tmp_path)
    yield process
    process.close()


@pytest.fixture
def connect():
    made = []

    def make(port, *tables, **options):
        made.append(ReverbReplay(f"127.0.0.1:{port}", tables, **options))
        return made[-1]

    yield make
    for replay in made:
        replay.close()


class Patiently:
    """Calls again in a thread while the server is away, as roles do."""

    def __init__(self, call):
        self.unavailable = 0
        self._call = call
        self._outcome = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            while not self._outcome:
                try:
                    self._outcome.append(self._call())
                except ReplayUnavailable:
                    self.unavailable += 1
        except Exception as error:
            self._outcome.append(error)

    def result(self, timeout):
        self._thread.join(timeout)
        assert not self._thread.is_alive(), "no result in time"
        if isinstance(self._outcome[0], Exception):
            raise self._outcome[0]
        return self._outcome[0]


@pytest.mark.parametrize("prefetch", [0, 40])
def test_nothing_pending_is_lost_when_the_server_is_killed(
    reverb_process, spare_process, connect, prefetch
):
    table = Table.queue("t", 100, NUMBER)
    port = spare_process.start([table])
    replay = connect(port, table, prefetch=prefetch)
    writer, sampler = replay.writer(), replay.sampler("t")
    for start in range(0, 150, 10):
        writer.insert("t", np.arange(start, start + 10), np.ones(10))
    writer.flush(timeout=10.0, max_pending=50)
    assert writer.pending == 50  # 0 to 99 are in the table, and die with it

    spare_process.kill()
    flushed = Patiently(lambda: writer.flush(timeout=0.2))
    sampled = Patiently(lambda: sampler.sample(50, timeout=0.2))
    while not (flushed.unavailable and sampled.unavailable):
        time.sleep(0.01)
    writer.insert("t", numbers(150, 151), np.ones(2))
    assert writer.pending == 52

    reverb_process.start([table], port)
    began = time.monotonic()
    flushed.result(timeout=10.0)
    got = sampled.result(timeout=10.0).data.tolist()
    assert time.monotonic() - began < 5.0  # "within seconds"; gRPC's own pace is two minutes
    got += sampler.sample(2, timeout=5.0).data.tolist()
    assert got == list(range(100, 152))
    reverb_process.stop(port)


def test_a_frozen_server_is_unavailable_and_then_goes_on(spare_process, connect):
    table = Table.queue("t", 10, NUMBER)
    port = spare_process.start([table])
    replay = connect(port, table)
    writer, sampler = replay.writer(), replay.sampler("t")
    insert(replay, 1)
    assert sampler.sample(1, timeout=5.0).data.tolist() == [1]
    spare_process.send_signal(signal.SIGSTOP)
    try:
        writer.insert("t", numbers(2, 3), np.ones(2))
        began = time.monotonic()
        with pytest.raises(ReplayUnavailable, match="DEADLINE_EXCEEDED"):
            writer.flush(timeout=0.2)
        with pytest.raises(ReplayUnavailable, match="DEADLINE_EXCEEDED"):
            sampler.sample(2, timeout=0.2)
        assert time.monotonic() - began < 6.0  # the waits, and a second for each to see why
    finally:
        spare_process.send_signal(signal.SIGCONT)
    writer.flush(timeout=10.0)
    assert sampler.sample(2, timeout=10.0).data.tolist() == [2, 3]


def test_a_server_that_comes_back_with_another_table_is_refused(reverb_process, connect):
    table, port = Table.queue("t", 10, NUMBER), free_port()
    reverb_process.start([table], port)
    replay = connect(port, table)
    writer, sampler = replay.writer(), replay.sampler("t")
    insert(replay, 1)
    sampler.sample(1, timeout=5.0)
    reverb_process.stop(port)
    other = Table.queue("t", 10, ArraySpec((), np.dtype(np.float32)))
    reverb_process.start([other], port)
    with pytest.raises(SignatureError, match="float32"):
        Patiently(lambda: sampler.sample(1, timeout=0.5)).result(timeout=10.0)
    writer.insert("t", numbers(2), np.ones(1))
    with pytest.raises(SignatureError, match="float32"):
        Patiently(lambda: writer.flush(timeout=0.5)).result(timeout=10.0)
    assert replay.info()["t"].inserts == 0

    reverb_process.stop(port)
    reverb_process.start([table], port)  # mended: what is pending goes there
    assert Patiently(lambda: sample_again(sampler)).result(timeout=10.0) == [2]
    reverb_process.stop(port)


def sample_again(sampler):
    try:
        return sampler.sample(1, timeout=0.5).data.tolist()
    except SignatureError as error:  # of the server before
        raise ReplayUnavailable from error


def test_priorities_and_info_wait_for_a_server_that_restarts(reverb_process, connect):
    table, port = Table.queue("t", 10, NUMBER), free_port()
    reverb_process.start([table], port)
    replay = connect(port, table)
    insert(replay, 1)
    reverb_process.stop(port)
    late = threading.Timer(0.5, lambda: reverb_process.start([table], port))
    late.start()
    replay.update_priorities("t", np.ones(1, np.uint64), np.ones(1))
    assert replay.info()["t"].inserts == 0
    late.join()
    reverb_process.stop(port)
