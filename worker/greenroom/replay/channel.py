"""What producers and consumers of one embedded table share, and how they wait for each other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from threading import TIMEOUT_MAX, Condition

from greenroom.errors import ReplayClosed
from greenroom.replay.columns import Values
from greenroom.replay.samples import Samples
from greenroom.replay.store import TableStore
from greenroom.replay.tables import TableInfo
from greenroom.specs import Array


@dataclass
class Channel:
    """A table's store and its waiting rooms; all is used under the replay's lock.

    Attributes:
        store: the table.
        writable: where writers of any table wait for samples.
        readable: where samplers of this table wait for inserts.
        insert_wait_seconds, sample_wait_seconds: time spent there.
        closed: whether everyone is to leave.
    """

    store: TableStore
    writable: Condition
    readable: Condition
    insert_wait_seconds: float = 0.0
    sample_wait_seconds: float = 0.0
    closed: bool = False

    def check_open(self) -> None:
        if self.closed:
            raise ReplayClosed(f"Table {self.store.table.name!r}: replay was closed.")

    def insert(self, leaves: Sequence[Values], priorities: Array) -> int:
        """Insert what is admitted, return how many items that is, and wake who can use it."""
        admitted = self.store.insert(leaves, priorities)
        if admitted and self.store.limiter.samplable(1):
            self.readable.notify_all()
        return admitted

    def sample(self, count: int) -> list[Samples]:
        """Draw what is admitted, in parts, and wake who can use it."""
        parts = self.store.sample(count)
        if parts and self.store.limiter.insertable(1):
            self.writable.notify_all()
        return parts

    def notify(self) -> None:
        """Make everyone look again."""
        self.writable.notify_all()
        self.readable.notify_all()

    def info(self) -> TableInfo:
        table, limiter = self.store.table, self.store.limiter
        return TableInfo(
            name=table.name,
            size=limiter.size,
            max_size=table.max_size,
            inserts=limiter.inserts,
            samples=limiter.samples,
            deletes=limiter.deletes,
            diff=limiter.diff,
            min_diff=table.limiter.min_diff,
            max_diff=table.limiter.max_diff,
            samples_per_insert=table.limiter.samples_per_insert,
            min_size=table.limiter.min_size,
            insert_wait_seconds=self.insert_wait_seconds,
            sample_wait_seconds=self.sample_wait_seconds,
        )


def wait(condition: Condition, deadline: float) -> float | None:
    """Wait for a notification or the deadline; return the seconds waited, None if it was past."""
    begin = time.monotonic()
    if begin >= deadline:
        return None
    condition.wait(min(deadline - begin, TIMEOUT_MAX))
    return time.monotonic() - begin
