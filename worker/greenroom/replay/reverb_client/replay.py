"""Replay on a Reverb server, behind the same interface as replay in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Final

import numpy as np

from greenroom.errors import ConfigurationError
from greenroom.replay.arguments import check_keys, check_priorities, find_table, highest_priority
from greenroom.replay.reverb_client.connection import Connection, read_limiter
from greenroom.replay.reverb_client.sampler import ReverbSampler
from greenroom.replay.reverb_client.signatures import check_supported
from greenroom.replay.reverb_client.wire import encode_keys, field
from greenroom.replay.reverb_client.writer import ReverbWriter
from greenroom.replay.tables import Table, TableInfo
from greenroom.specs import Array

_INFO_SECONDS: Final = 30.0
# A learner sends one with each batch, and is not to stand still for a server that is away.
_UPDATE_SECONDS: Final = 2.0


class ReverbReplay:
    """Tables on a Reverb server (`greenroom.core.Replay`), 0.14 or any that speaks its protocol.

    Needs neither Reverb nor TensorFlow. Nothing is sent before the first call, so a replay
    can be made before its server runs; whoever uses it waits for the server, as long as the
    call allows, and finds it again after a restart.

    Example::

        replay = ReverbReplay("localhost:8000", builder.make_tables(options, num_envs))
        writer, sampler = replay.writer(), replay.sampler("transitions")

    Args:
        address: HOST:PORT.
        tables: what the server was started with: at least their names and signatures, which
            are compared before the first item is written or read.
        prefetch: how many samples each sampler asks for ahead of its calls (`ReverbSampler`).

    Raises:
        ConfigurationError: no tables, two of one name, or a dtype that Reverb does not have.
    """

    def __init__(self, address: str, tables: Sequence[Table], *, prefetch: int = 0) -> None:
        names = [table.name for table in tables]
        if not names or len(set(names)) < len(names):
            raise ConfigurationError(
                f"A replay needs tables, each with a name of its own. Got: {names}."
            )
        for table in tables:
            check_supported(table)
        if prefetch < 0:
            raise ConfigurationError(f"prefetch must not be negative. Got: {prefetch}.")
        self._prefetch = prefetch
        self._connection = Connection(address, tables)
        self._lock = Lock()
        self._writers: list[ReverbWriter] = []
        self._samplers: dict[str, list[ReverbSampler]] = {name: [] for name in names}

    def writer(self) -> ReverbWriter:
        """Return a new writer for one producer; it holds a stream and two threads until `close`."""
        writer = ReverbWriter(self._connection)
        with self._lock:
            self._writers.append(writer)
        return writer

    def sampler(self, table: str) -> ReverbSampler:
        """Return a new sampler of ``table`` for one consumer; it, too, is held until `close`."""
        samplers = find_table(self._samplers, table)
        sampler = ReverbSampler(self._connection, self._connection.tables[table], self._prefetch)
        with self._lock:
            samplers.append(sampler)
        return sampler

    def update_priorities(self, table: str, keys: Array, priorities: Array) -> None:
        """Set priorities [B] of the items ``keys`` [B]; items that have left are passed over.

        Of equal keys the last one counts. Returns when the server has done it.

        Raises:
            ValueError: a priority is negative or not finite, or keys are not uint64 [B];
                no priority was changed.
            ReplayUnavailable: the server did not answer in 2 seconds.
            ReplayClosed: replay was closed.
        """
        highest = highest_priority(find_table(self._connection.tables, table))
        check_keys(keys)
        priorities = check_priorities(table, priorities, highest, len(keys))
        request = encode_updates(table, keys, priorities)
        self._connection.call("MutatePriorities", request, _UPDATE_SECONDS)

    def info(self) -> Mapping[str, TableInfo]:
        """Return each table's state now, by name.

        All is the server's own, except what it does not count: ``deletes`` is what was
        inserted and is not there, and the seconds are what writers and samplers of *this*
        object waited. A flush waits for the server to confirm as well as for the limiter,
        and the server does not tell these apart; a sampler's are of the limiter alone.

        Raises:
            SignatureError: the server lacks one of the tables.
            ReplayUnavailable: the server did not answer in 30 seconds.
            ReplayClosed: replay was closed.
        """
        infos = {}
        for name, info in self._connection.server_info(_INFO_SECONDS).items():
            limiter = read_limiter(info)
            with self._lock:
                insert_wait = sum(writer.wait_seconds[name] for writer in self._writers)
                sample_wait = sum(sampler.wait_seconds for sampler in self._samplers[name])
            infos[name] = TableInfo(
                name=name,
                size=limiter.size,
                max_size=info.max_size,
                inserts=limiter.inserts,
                samples=limiter.samples,
                deletes=limiter.deletes,
                diff=limiter.diff,
                min_diff=limiter.rule.min_diff,
                max_diff=limiter.rule.max_diff,
                samples_per_insert=limiter.rule.samples_per_insert,
                min_size=limiter.rule.min_size,
                insert_wait_seconds=insert_wait,
                sample_wait_seconds=sample_wait,
            )
        return infos

    def close(self) -> None:
        """Wake everyone who waits with `ReplayClosed`; what comes later gets it too.

        What is pending with writers is lost: flush first.
        """
        self._connection.close()


def encode_updates(table: str, keys: Array, priorities: Array) -> bytes:
    """Return a ``MutatePrioritiesRequest``."""
    rows = np.empty((len(keys), 22), np.uint8)
    rows[:, :3] = [0x12, 20, 0x08]  # a message of 20 bytes: field 1, a varint of 10
    rows[:, 3:13] = encode_keys(keys)
    rows[:, 13] = 0x11  # field 2, a double
    rows[:, 14:] = np.ascontiguousarray(priorities)[:, None].view(np.uint8)
    return field(1, table.encode()) + rows.tobytes()
