"""Which experiment is reconciled next: one at a time for each key, many keys side by side.

    queue = WorkQueue()
    queue.add(key, Urgency.CHANGED)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(16):
            tasks.create_task(work(queue))

    async def work(queue):
        while True:
            key = await queue.get()
            ...                                 # reconcile
            queue.done(key)                     # or queue.failed(key)

A key that is added while it is worked on is worked on once more afterwards; one that waits
already keeps the more urgent of its places. A key that failed comes back after a time that
doubles with each failure; before that, only for a change that may be the cure.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from enum import IntEnum
from typing import Final

from greenroom_operator.experiment import Key

# Events of one experiment come in flocks; a reconcile for each would see half of it each time.
SETTLE_SECONDS: Final = 0.05
FIRST_BACKOFF: Final = 0.5
LONGEST_BACKOFF: Final = 60.0


class Urgency(IntEnum):
    """What goes first when more waits than can be done."""

    CHANGED = 0
    """Somebody changed a spec, or deleted something: a person may be looking."""
    NEW = 1
    """The cluster moves, or an experiment is new."""
    ROUTINE = 2
    """A time has come: progress, a resync."""


class WorkQueue:
    """Keys that wait, are worked on, or come back later; for one event loop."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Key]] = []
        self._order = itertools.count()
        # Its place in the heap, which may hold others that were left for it.
        self._waiting: dict[Key, tuple[int, int, Key]] = {}
        self._working: set[Key] = set()
        self._again: dict[Key, Urgency] = {}
        self._settling: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        """Return how many keys wait now."""
        return len(self._waiting)

    def add(self, key: Key, urgency: Urgency) -> None:
        """Have a key worked on soon."""
        if key in self._working:
            self._again[key] = min(urgency, self._again.get(key, urgency))
            return
        if urgency != Urgency.CHANGED and key in self._failures and key in self._timers:
            return
        waiting = self._waiting.get(key)
        if waiting is not None and waiting[0] <= urgency:
            return
        place = self._waiting[key] = (urgency, next(self._order), key)
        heapq.heappush(self._heap, place)
        self._arrived.set()

    def settle(self, key: Key) -> None:
        """Have a key worked on as soon as what moves its experiment has settled a little."""
        if key not in self._waiting and key not in self._settling:
            loop = asyncio.get_running_loop()
            self._settling.add(key)
            loop.call_later(SETTLE_SECONDS, self._settled, key)

    def add_later(self, key: Key, seconds: float) -> None:
        """Have a key worked on in so many seconds, unless it is told another time before."""
        self.cancel(key)
        loop = asyncio.get_running_loop()
        self._timers[key] = loop.call_later(seconds, self._due, key)

    def cancel(self, key: Key) -> None:
        """Forget the time that `add_later` set."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    async def get(self) -> Key:
        """Wait for a key, and begin to work on it."""
        while True:
            while self._heap:
                place = heapq.heappop(self._heap)
                key = place[2]
                if self._waiting.get(key) == place:
                    del self._waiting[key]
                    self._working.add(key)
                    return key
            self._arrived.clear()
            await self._arrived.wait()

    def done(self, key: Key) -> None:
        """End the work on a key, in success."""
        self._failures.pop(key, None)
        self._end(key)

    def failed(self, key: Key, *, at_least: float = 0.0) -> float:
        """End the work on a key that failed; return the seconds after which it comes back.

        Args:
            key: it.
            at_least: seconds that the server asked to wait.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        seconds = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures, 16))
        # Keys that failed together do not come back together.
        seconds = max(at_least, seconds * random.uniform(0.75, 1.25))
        # What a person changed meanwhile may be the cure; the rest would only fail once more.
        if self._again.get(key) != Urgency.CHANGED:
            self._again.pop(key, None)
        self._end(key)
        self.add_later(key, seconds)
        return seconds

    def failures(self, key: Key) -> int:
        """Return how often the work on a key has failed since it succeeded last."""
        return self._failures.get(key, 0)

    def forget(self, key: Key) -> None:
        """Forget failures and times of a key that is gone."""
        self._failures.pop(key, None)
        self.cancel(key)

    def _end(self, key: Key) -> None:
        self._working.discard(key)
        again = self._again.pop(key, None)
        if again is not None:
            self.add(key, again)

    def _settled(self, key: Key) -> None:
        self._settling.discard(key)
        self.add(key, Urgency.NEW)

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key, Urgency.ROUTINE)
