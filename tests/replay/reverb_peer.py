"""A process with the official Reverb in it: many servers, one after another, on request.

Run by `reverb_server.py`, never imported by a test: importing TensorFlow takes seconds.
A request is a line of JSON on standard input, an answer one on standard output.
"""

import json
import sys
import traceback

import reverb
import tensorflow as tf
from reverb.platform import checkpointers_lib

SELECTORS = {
    "Uniform": reverb.selectors.Uniform,
    "Fifo": reverb.selectors.Fifo,
    "Lifo": reverb.selectors.Lifo,
    "Prioritized": reverb.selectors.Prioritized,
}


def make_signature(node):
    kind, value = node
    if kind == "dict":
        return {key: make_signature(child) for key, child in value.items()}
    if kind == "tuple":
        return tuple(make_signature(child) for child in value)
    return tf.TensorSpec(value["shape"], value["dtype"])


def make_table(table):
    # A selector object belongs to one table: two that share one crash the server.
    sampler, remover = (SELECTORS[kind](*args) for kind, *args in table["selectors"])
    limiter = table["limiter"]
    return reverb.Table(
        name=table["name"],
        sampler=sampler,
        remover=remover,
        max_size=table["max_size"],
        max_times_sampled=table["max_times_sampled"],
        rate_limiter=reverb.rate_limiters.RateLimiter(**limiter),
        signature=make_signature(table["signature"]) if table["signature"] else None,
    )


class Peer:
    """Holds servers by port; its public methods are what a request can name."""

    def __init__(self, folder):
        self._folder = folder
        self._servers = {}

    def start(self, port, tables):
        # By default each server would leave a folder for checkpoints behind.
        checkpointer = checkpointers_lib.DefaultCheckpointer(f"{self._folder}/{port}")
        tables = [make_table(table) for table in tables]
        self._servers[port] = reverb.Server(tables, port, checkpointer)

    def stop(self, port):
        self._servers.pop(port).stop()


def main():
    peer = Peer(sys.argv[1])
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            answer = {"result": getattr(peer, name)(**arguments)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
