"""Replay in this process: numpy tables behind the same interface that a server has.

Safe to use from several threads. One lock guards all tables: what holds it is
short, `EmbeddedReplay.info` and `EmbeddedReplay.state` see all tables at one
moment, and a writer whose items wait for two tables is woken by either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Condition, Lock

import numpy as np

from greenroom.core import State
from greenroom.errors import CheckpointMismatch, ConfigurationError
from greenroom.replay.arguments import check_keys, find_table
from greenroom.replay.channel import Channel
from greenroom.replay.clients import EmbeddedSampler, EmbeddedWriter
from greenroom.replay.store import TableStore
from greenroom.replay.tables import Table, TableInfo
from greenroom.specs import Array


class EmbeddedReplay:
    """Tables in this process (`greenroom.core.LockstepReplay`).

    Example:
        >>> from greenroom.specs import ArraySpec
        >>> spec = ArraySpec((), np.dtype(np.float32))
        >>> table = Table.queue("queue", capacity=8, signature={"reward": spec})
        >>> replay = EmbeddedReplay([table], np.random.default_rng(0))
        >>> items = {"reward": np.array([1.0, 2.0], np.float32)}
        >>> replay.writer().insert("queue", items, np.ones(2))
        >>> replay.sampler("queue").sample(2, timeout=1.0).data
        {'reward': array([1., 2.], dtype=float32)}

    Args:
        tables: names are unique.
        generator: each table draws from a generator of its own, spawned from this one,
            so that equal calls give equal samples.
    """

    def __init__(self, tables: Sequence[Table], generator: np.random.Generator) -> None:
        names = [table.name for table in tables]
        if not names or len(set(names)) < len(names):
            raise ConfigurationError(
                f"A replay needs tables, each with a name of its own. Got: {names}."
            )
        lock = Lock()
        writable = Condition(lock)
        self._lock = lock
        self._channels = {
            table.name: Channel(TableStore(table, child), writable, Condition(lock))
            for table, child in zip(tables, generator.spawn(len(names)), strict=True)
        }

    def writer(self) -> EmbeddedWriter:
        """Return a new writer for one producer."""
        return EmbeddedWriter(self._lock, self._channels)

    def sampler(self, table: str) -> EmbeddedSampler:
        """Return a new sampler of ``table`` for one consumer."""
        return EmbeddedSampler(self._lock, find_table(self._channels, table))

    def update_priorities(self, table: str, keys: Array, priorities: Array) -> None:
        """Set priorities [B] of the items ``keys`` [B]; items that have left are passed over.

        Of equal keys the last one counts.

        Raises:
            ValueError: a priority is negative or not finite, or keys are not uint64 [B];
                no priority was changed.
        """
        channel = find_table(self._channels, table)
        check_keys(keys)
        priorities = channel.store.check_priorities(priorities, len(keys))
        with self._lock:
            channel.check_open()
            channel.store.update_priorities(keys, priorities)

    def can_insert(self, table: str, items: int) -> bool:
        """Whether ``items`` inserts would be admitted now, with no sample between them."""
        channel = find_table(self._channels, table)
        with self._lock:
            return channel.store.limiter.insertable(items) == items

    def can_sample(self, table: str, items: int) -> bool:
        """Whether ``items`` samples would be admitted now, with no insert between them.

        Where items leave after ``max_times_sampled`` and chance decides which, that is
        whether they would be whatever is drawn.
        """
        channel = find_table(self._channels, table)
        with self._lock:
            return channel.store.can_sample(items)

    def info(self) -> Mapping[str, TableInfo]:
        """Return each table's state now, by name."""
        with self._lock:
            return {name: channel.info() for name, channel in self._channels.items()}

    def close(self) -> None:
        """Wake everyone who waits with `ReplayClosed`; what comes later gets it too."""
        with self._lock:
            for channel in self._channels.values():
                channel.closed = True
                channel.notify()

    def state(self) -> State:
        """Return all contents, counters and random states, for a checkpoint.

        What is pending with writers or kept by samplers is not in it.
        """
        with self._lock:
            return {name: channel.store.state() for name, channel in self._channels.items()}

    def restore(self, state: State) -> None:
        """Take up what `state` returned, in place of all contents.

        Raises:
            CheckpointMismatch: it was written by other tables; nothing was changed.
        """
        if sorted(state) != sorted(self._channels):
            raise CheckpointMismatch(
                "A checkpoint of replay must have been written by the same tables. Got: "
                f"{sorted(state)} in the checkpoint, {sorted(self._channels)} here."
            )
        with self._lock:
            restored = {name: channel.store.renewed() for name, channel in self._channels.items()}
            for name, store in restored.items():
                store.restore(state[name])
            for name, channel in self._channels.items():
                channel.store = restored[name]
                channel.notify()
