"""Runs `greenroom.replay.server` for tests, which ask for one method call per line of JSON.

Inserting and sampling go through Reverb's official client.
"""

import contextlib
import json
import logging
import os
import sys
import threading
from pathlib import Path

import numpy as np
import reverb

from greenroom.errors import GreenroomError
from greenroom.replay.checkpoints import ReplayCheckpoints
from greenroom.replay.descriptions import tables_from_json
from greenroom.replay.server import ReplayServer


class Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(f"{record.levelname} {record.getMessage()}")


class Peer:
    def __init__(self, lines):
        self.lines = lines
        self.server = None
        self.checkpoints = None

    def start(self, tables, port, directory=None):
        self.lines.clear()
        self.checkpoints = ReplayCheckpoints(Path(directory)) if directory else None
        self.server = ReplayServer(tables_from_json(tables), port, self.checkpoints)
        self.client = reverb.Client(f"127.0.0.1:{port}")
        restored = self.server.restored
        return {
            "log": list(self.lines),
            "restored": restored and {"path": str(restored.path), "counts": restored.counts},
        }

    def stop(self):
        if self.server:
            self.server.stop()
            self.server = None
        if self.checkpoints:
            self.checkpoints.close()
            self.checkpoints = None

    def insert(self, table, values):
        for value in values:
            self.client.insert([np.float32(value)], {table: 1.0})

    def sample(self, table, count):
        samples = self.client.sample(table, count, emit_timesteps=False)
        return [float(sample.data[0][0]) for sample in samples]

    def info(self):
        """What we say of each table."""
        return {
            name: vars(served.table) | {"worker_seconds": dict(served.worker_seconds)}
            for name, served in self.server.info(timeout=5.0).items()
        }

    def configuration(self):
        """What Reverb itself says of each table."""
        return {
            name: {
                "sampler": str(info.sampler_options).split(),
                "remover": str(info.remover_options).split(),
                "max_size": info.max_size,
                "max_times_sampled": info.max_times_sampled,
                "max_diff": info.rate_limiter_info.max_diff,
                "signature": repr(info.signature),
            }
            for name, info in self.client.server_info(timeout=5).items()
        }

    def block(self, table, call):
        """Sample or insert in another thread, more than the limiter admits."""
        arguments = (
            (self.sample, table, 100) if call == "sample" else (self.insert, table, range(100))
        )
        threading.Thread(target=self.forget_errors, args=arguments, daemon=True).start()

    @staticmethod
    def forget_errors(call, *arguments):
        with contextlib.suppress(RuntimeError, reverb.ReverbError):  # the server was stopped
            call(*arguments)

    def checkpoint(self, counts):
        return str(self.server.checkpoint(counts).path)


def main():
    lines = Lines()
    logging.basicConfig(level=logging.INFO, handlers=[lines])
    peer = Peer(lines.lines)
    for request in sys.stdin:
        name, arguments = json.loads(request)
        try:
            answer = {"result": getattr(peer, name)(**arguments)}
        except GreenroomError as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    peer.stop()
    os._exit(0)  # not waiting for threads that are blocked in Reverb's client


main()
