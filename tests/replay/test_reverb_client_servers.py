"""A Reverb server that is away, or wrong, and what others wrote wrong into one."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from replay_tools import NUMBER, make_table, numbers
from reverb_server import free_port

from greenroom.errors import (
    ReplayClosed,
    ReplayDataError,
    ReplayTimeout,
    ReplayUnavailable,
)
from greenroom.replay.reverb_client import messages
from greenroom.replay.reverb_client.tensors import encode_shape
from greenroom.replay.tables import Table

# --- servers that are not there --------------------------------------------------------------


def test_a_server_that_is_not_there_is_told_from_a_limiter(connect):
    port = free_port()
    replay = connect(f"127.0.0.1:{port}", make_table())
    writer, sampler = replay.writer(), replay.sampler("t")
    writer.insert("t", numbers(1, 2), np.ones(2))
    refused = rf"server at 127.0.0.1:{port} must answer.*UNAVAILABLE"
    with pytest.raises(ReplayUnavailable, match=f"0.3 s to insert 2 items into.*{refused}"):
        writer.flush(timeout=0.3)
    assert writer.pending == 2
    with pytest.raises(ReplayUnavailable, match=f"'t' waited 0.3 s for 4 samples.*{refused}"):
        sampler.sample(4, timeout=0.3)


def test_whoever_waits_for_a_server_finds_it_when_it_starts(connect, reverb_process):
    table, port = Table.queue("t", 10, NUMBER), free_port()
    replay = connect(f"127.0.0.1:{port}", table)
    writer, sampler = replay.writer(), replay.sampler("t")
    writer.insert("t", numbers(1, 2), np.ones(2))
    late = threading.Timer(0.5, lambda: reverb_process.start([table], port))
    late.start()
    assert sampler.sample(2, timeout=20.0).data.tolist() == [1, 2]
    late.join()
    writer.flush(timeout=5.0)
    assert replay.info()["t"].inserts == 2
    reverb_process.stop(port)


@pytest.mark.parametrize("wait", ["info", "update"])
def test_close_ends_calls_to_a_server_that_is_not_there(connect, wait):
    replay = connect(f"127.0.0.1:{free_port()}", make_table())
    call = {
        "info": replay.info,
        "update": lambda: replay.update_priorities("t", np.ones(1, np.uint64), np.ones(1)),
    }[wait]
    closing = threading.Timer(0.3, replay.close)
    closing.start()
    began = time.monotonic()
    with pytest.raises(ReplayClosed):
        call()
    closing.join()
    assert time.monotonic() - began < 5.0


def test_close_ends_all_threads(serve, connect):
    before = set(threading.enumerate())
    table = Table.queue("t", 2, NUMBER)
    replay = connect(serve(table), table, prefetch=4)
    writer, sampler = replay.writer(), replay.sampler("t")
    writer.insert("t", numbers(1, 2, 3, 4, 5, 6, 7, 8, 9), np.ones(9))
    sampler.sample(2, timeout=5.0)
    replay.close()
    deadline = time.monotonic() + 10.0
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not set(threading.enumerate()) - before


# --- servers and writers that are wrong -------------------------------------------------------


def test_an_item_that_another_client_wrote_wrong_is_left_out(serve, connect):
    """The server checks nothing, so that anybody's mistake comes out again."""
    table = Table.queue("t", 10, NUMBER)
    address = serve(table)
    replay = connect(address, table)
    writer = replay.writer()
    writer.insert("t", numbers(1), np.ones(1))
    writer.flush(timeout=5.0)
    with grpc.insecure_channel(address) as channel:
        insert_stream = channel.stream_stream(messages.SERVICE + "InsertStream")
        next(iter(insert_stream(iter([corrupt_item(key=7), b""]), timeout=10.0)))
    writer.insert("t", numbers(2, 3), np.ones(2))
    writer.flush(timeout=5.0)

    sampler = replay.sampler("t")
    with pytest.raises(ReplayDataError, match="Table 't', item 7: A tensor must be intact"):
        sampler.sample(3, timeout=5.0)
    assert sampler.sample(3, timeout=5.0).data.tolist() == [1, 2, 3]


def corrupt_item(key):
    trajectory = messages.Trajectory(
        columns=[{"squeeze": True, "chunk_slices": [{"chunk_key": key, "length": 1}]}]
    )
    tensor = {"dtype": 9, "tensor_shape": encode_shape((1,)), "tensor_content": b"\x08\xff\xff"}
    chunk = {"chunk_key": key, "data": {"tensors": [tensor]}, "data_tensors_len": 1}
    item = {
        "key": key,
        "table": "t",
        "priority": 1.0,
        "flat_trajectory": trajectory.SerializeToString(),
    }
    return messages.InsertRequest(chunks=[chunk], items=[item]).SerializeToString()


class NoReverb(grpc.GenericRpcHandler):
    """Answers as Reverb does, until it is asked for samples: then nonsense, once."""

    def __init__(self):
        self.nonsense = 0
        structure = {"tensor_spec": {"dtype": 9}}
        limits = {"samples_per_insert": 1.0, "min_size_to_sample": 1}
        self._info = messages.ServerInfoResponse(
            table_info=[{"name": "t", "signature": structure, "rate_limiter_info": limits}]
        ).SerializeToString()

    def service(self, details):
        if details.method.endswith("ServerInfo"):
            return grpc.unary_unary_rpc_method_handler(lambda request, context: self._info)
        return grpc.stream_stream_rpc_method_handler(self.sample)

    def sample(self, requests, context):
        for _ in requests:
            if self.nonsense == 0:
                self.nonsense += 1
                yield b"\x0a\x7fnonsense"
            else:
                context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "Rate Limiter: Timeout exceeded")


def test_a_stream_of_nonsense_is_ended_and_another_begun(connect):
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([NoReverb()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        sampler = connect(f"127.0.0.1:{port}", make_table()).sampler("t")
        with pytest.raises(ReplayDataError, match="whole entries"):
            sampler.sample(1, timeout=5.0)
        with pytest.raises(ReplayTimeout, match="waited 1 s") as caught:
            sampler.sample(1, timeout=1.0)
        assert type(caught.value) is ReplayTimeout  # the new stream is told what the limiter says
    finally:
        server.stop(None).wait(5.0)
