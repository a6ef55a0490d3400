"""Writers and samplers of embedded replay: one for each producer and consumer."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from threading import Lock
from typing import NamedTuple

import numpy as np

from greenroom.errors import ReplayTimeout
from greenroom.replay.arguments import (
    check_batch_size,
    check_max_pending,
    deadline_after,
    find_table,
)
from greenroom.replay.channel import Channel, wait
from greenroom.replay.columns import Values
from greenroom.replay.samples import Samples
from greenroom.specs import Array, Tree


class _Pending(NamedTuple):
    leaves: list[Values]
    priorities: Array


class EmbeddedWriter:
    """One producer's way into replay (`greenroom.core.Writer`).

    Items wait in order of insertion, separately for each table: that one table
    holds its items back does not hold back another's.
    """

    def __init__(self, lock: Lock, channels: Mapping[str, Channel]) -> None:
        self._lock = lock
        self._channels = channels
        self._queues: dict[str, deque[_Pending]] = {name: deque() for name in channels}

    @property
    def pending(self) -> int:
        """How many items are not admitted yet."""
        with self._lock:
            return sum(map(_count, self._queues.values()))

    def insert(self, table: str, items: Tree, priorities: Array) -> None:
        """Hand over K items: a tree of [K, ...] and priorities [K] float64. Never blocks.

        A leaf whose signature varies in length is a sequence of K arrays instead. The
        arrays are copied before this returns.

        Raises:
            SignatureError: the items are not the table's; none was taken.
            ValueError: a priority is negative or not finite; none was taken.
            ReplayClosed: replay was closed.
        """
        channel = find_table(self._channels, table)
        priorities = channel.store.check_priorities(priorities)
        leaves = channel.store.signature.flatten(items, len(priorities))
        queue = self._queues[table]
        with self._lock:
            channel.check_open()
            # First those before: if one of them is not admitted, none of these is.
            self._admit(channel, queue)
            admitted = channel.insert(leaves, priorities)
            if admitted < len(priorities):
                rest = [leaf[admitted:] for leaf in leaves]
                queue.append(
                    _Pending(channel.store.copy_leaves(rest), np.array(priorities[admitted:]))
                )

    def flush(self, timeout: float, max_pending: int = 0) -> None:
        """Wait until at most ``max_pending`` items are pending, ``timeout`` seconds at most.

        Raises:
            ReplayTimeout: more are pending still; they stay, and flush may be called again.
            ReplayClosed: replay was closed.
        """
        deadline = deadline_after(timeout)
        check_max_pending(max_pending)
        with self._lock:
            while True:
                for name, queue in self._queues.items():
                    channel = self._channels[name]
                    channel.check_open()
                    self._admit(channel, queue)
                if sum(map(_count, self._queues.values())) <= max_pending:
                    return
                waiting = [name for name, queue in self._queues.items() if queue]
                waited = wait(self._channels[waiting[0]].writable, deadline)
                if waited is None:
                    raise ReplayTimeout(" ".join(self._why(name, timeout) for name in waiting))
                for name in waiting:
                    self._channels[name].insert_wait_seconds += waited

    def _admit(self, channel: Channel, queue: deque[_Pending]) -> None:
        while queue:
            leaves, priorities = queue[0]
            admitted = channel.insert(leaves, priorities)
            if admitted < len(priorities):
                queue[0] = _Pending([leaf[admitted:] for leaf in leaves], priorities[admitted:])
                return
            queue.popleft()

    def _why(self, table: str, timeout: float) -> str:
        items = _count(self._queues[table])
        return (
            f"Table {table!r} waited {timeout:.3g} s to insert {items} items: "
            f"{self._channels[table].store.limiter.why_no_insert()}."
        )


class EmbeddedSampler:
    """One consumer's way out of a table (`greenroom.core.Sampler`)."""

    def __init__(self, lock: Lock, channel: Channel) -> None:
        self._lock = lock
        self._channel = channel
        self._parts: list[Samples] = []

    def sample(self, batch_size: int, timeout: float) -> Samples:
        """Return ``batch_size`` items, waiting ``timeout`` seconds at most.

        Items are admitted singly. A batch that is only partly filled at the deadline
        stays here, and the next call goes on with it. All arrays are the caller's own.

        Raises:
            ReplayTimeout: the limiter did not admit them all; the message says why.
            ReplayClosed: replay was closed.
        """
        deadline = deadline_after(timeout)
        check_batch_size(batch_size)
        channel = self._channel
        with self._lock:
            while True:
                channel.check_open()
                held = sum(len(part.keys) for part in self._parts)
                self._parts += channel.sample(batch_size - held)
                held = sum(len(part.keys) for part in self._parts)
                if held >= batch_size:
                    taken, self._parts = _split(self._parts, batch_size)
                    break
                waited = wait(channel.readable, deadline)
                if waited is None:
                    raise ReplayTimeout(
                        f"Table {channel.store.table.name!r} waited {timeout:.3g} s for "
                        f"{batch_size} samples and has drawn {held}: "
                        f"{channel.store.limiter.why_no_sample()}."
                    )
                channel.sample_wait_seconds += waited
        return channel.store.batch(taken)


def _count(queue: deque[_Pending]) -> int:
    return sum(len(entry.priorities) for entry in queue)


def _split(parts: list[Samples], count: int) -> tuple[list[Samples], list[Samples]]:
    """Part the first ``count`` samples from the rest."""
    taken, rest = [], []
    for part in parts:
        size = len(part.keys)
        if size <= count:
            taken.append(part)
        else:
            if count:
                taken.append(_slice(part, slice(count)))
            rest.append(_slice(part, slice(count, None)))
        count -= min(size, count)
    return taken, rest


def _slice(part: Samples, rows: slice) -> Samples:
    leaves, *columns = part
    return Samples([leaf[rows] for leaf in leaves], *(column[rows] for column in columns))
