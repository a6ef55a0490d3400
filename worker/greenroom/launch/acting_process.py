"""An actor in a process of its own, which a learner in another one tells what to do.

    python -m greenroom.launch.acting_process SOCKET

It talks over an inherited socket, in messages that `greenroom.learning.states.pack`
makes (JSON and safetensors), and ends when the other side closes it:

    begin: experiment                    ->  begun
    step: steps, variables if newer      ->  stepped: items, counts, seconds; error if it failed
    state                                ->  state: actor, adder, environment
    restore: actor, adder, environment   ->  restored (no environment: episodes begin anew)
"""

from __future__ import annotations

import queue
import signal
import sys
import threading
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import optree
import torch
import yaml
from torch import Tensor

from greenroom.core import State, Variables
from greenroom.errors import GreenroomError
from greenroom.learning.states import pack, unpack
from greenroom.specs import Array, Tree
from greenroom.training.assembly import assemble_actor, assemble_environment
from greenroom.training.drivers import ActingSide
from greenroom_api import parse_experiment


class CollectingWriter:
    """A writer that keeps items until they are sent; the other side's replay admits them."""

    pending = 0

    def __init__(self) -> None:
        self._inserts: dict[str, list[tuple[list[Any], Array]]] = {}

    def insert(self, table: str, items: Tree, priorities: Array) -> None:
        """Keep K items; their arrays are not copied, so they must not be written to again."""
        leaves = optree.tree_leaves(items, is_leaf=lambda node: isinstance(node, list))
        self._inserts.setdefault(table, []).append((leaves, priorities))

    def flush(self, timeout: float, max_pending: int = 0) -> None:
        """Nothing is pending on this side."""

    def take(self) -> State:
        """Return the items kept since the last call, by table."""
        inserts, self._inserts = self._inserts, {}
        return {
            table: {
                "priorities": np.concatenate([priorities for _, priorities in parts]),
                "leaves": {
                    str(index): _join([leaves[index] for leaves, _ in parts])
                    for index in range(len(parts[0][0]))
                },
            }
            for table, parts in inserts.items()
        }


def _join(parts: list[Any]) -> State:
    """Join values of a leaf; where lengths vary each part is a list of arrays."""
    if isinstance(parts[0], list):
        arrays = [array for part in parts for array in part]
        return {
            "values": np.concatenate(arrays),
            "lengths": np.array([len(array) for array in arrays]),
        }
    return {"values": np.concatenate(parts)}


def split(leaf: Mapping[str, Array]) -> Any:
    """Return the values of a leaf as a writer takes them: [K, ...], or a list of K arrays."""
    if "lengths" in leaf:
        return np.split(leaf["values"], np.cumsum(leaf["lengths"])[:-1])
    return leaf["values"]


class ReceivedVariables:
    """The newest variables that came with a message."""

    def __init__(self) -> None:
        self._newest: Variables | None = None

    def put(self, version: int, values: Mapping[str, Tensor]) -> None:
        """Make these the newest."""
        self._newest = Variables(version, values)

    def get(self, newer_than: int) -> Variables | None:
        """Return the newest variables, or None if they are not newer than that version."""
        newest = self._newest
        return newest if newest is not None and newest.version > newer_than else None


class ActingProcess:
    """The actor's side of the conversation."""

    def __init__(self, begin: State) -> None:
        experiment = parse_experiment(yaml.safe_load(begin["experiment"]))
        torch.set_num_threads(experiment.spec.learner.torch_threads)
        self._variables = ReceivedVariables()
        self._writer = CollectingWriter()
        environment, builder = assemble_environment(experiment)
        self._adder, self._actor = assemble_actor(
            experiment, builder, self._writer, self._variables
        )
        self._acting = ActingSide(environment, self._actor)

    def answer(self, message: State) -> State:
        """Do what a message says."""
        match message["kind"]:
            case "step":
                return self._step(message)
            case "state":
                actor, adder = self._actor.state(), self._adder.state()
                return {"kind": "state", "actor": actor, "adder": adder, **self._acting.state()}
            case "restore":
                self._actor.restore(message["actor"])
                self._adder.restore(message["adder"])
                if message["environment"] is not None:
                    self._acting.restore(message)
                return {"kind": "restored"}
        raise AssertionError(message["kind"])

    def _step(self, message: State) -> State:
        began = time.perf_counter()
        if "variables" in message:
            self._variables.put(message["version"], message["variables"])
            self._actor.update()
        error = None
        try:
            for _ in range(message["steps"]):
                self._acting.step()
        except GreenroomError as failure:
            error = describe(failure)
        return {
            "kind": "stepped",
            "items": self._writer.take(),
            "environment_steps": self._actor.environment_steps,
            "episodes": self._actor.episodes.state(),
            "seconds": time.perf_counter() - began,
            "error": error,
        }


def describe(error: GreenroomError) -> State:
    """Return an error as a message."""
    return {"type": type(error).__name__, "message": str(error)}


def main(socket: int) -> None:
    """Answer messages until the other side closes the connection."""
    # A terminal sends Ctrl-C to both processes; the learner decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    connection = Connection(socket)
    messages: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    # Read at once, so that the learner never waits for a step to end before it can send.
    threading.Thread(target=_read, args=(connection, messages), daemon=True).start()
    process: ActingProcess | None = None
    while (packed := messages.get()) is not None:
        message = unpack(packed)
        try:
            if process is None:
                process = ActingProcess(message)
                answer: State = {"kind": "begun"}
            else:
                answer = process.answer(message)
        except GreenroomError as error:
            answer = {"kind": "failed", "error": describe(error)}
        connection.send_bytes(pack(answer))


def _read(connection: Connection, messages: queue.SimpleQueue[bytes | None]) -> None:
    try:
        while True:
            messages.put(connection.recv_bytes())
    except (EOFError, OSError):
        messages.put(None)


if __name__ == "__main__":
    main(int(sys.argv[1]))
