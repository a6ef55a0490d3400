"""How far each actor may go before it reports again, so that a run ends where it should."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

UNLIMITED: Final = 2**40
"""The grant, in environment steps, where the experiment has no limit of them."""

LOST_SECONDS: Final = 10.0
"""An actor that has not reported for so long is taken for dead, and its grant for unused."""


@dataclass(frozen=True)
class _Hold:
    """What one actor may have taken since its last report."""

    incarnation: str
    counted: int
    steps: int
    seen: float


class Grants:
    """Hands out what is left of the experiment's environment steps.

    What all actors hold, added to what is counted, never exceeds the limit by more than
    one unroll for each actor, whatever their speeds::

        t + sum over actors of the steps held  <=  limit + actors * unroll_steps

    An actor gets an equal share of what nobody holds, in whole unrolls; one unroll where
    the share is smaller; and none where even that would break the bound: it waits until
    the others report, which takes a second at most, or until they are taken for dead. The
    bound counts on answers that arrive: an actor that missed one goes on with what it had
    been granted before, until its next report.

        grants = Grants(limit=200_000, unroll_steps=160, actors=4)
        order = grants.grant("actor-0", "5d1e", counted=320, total=1_280, now=monotonic())

    Args:
        limit: environment steps of the experiment, None without one.
        unroll_steps: environment steps of one unroll of all environments of an actor.
        actors: how many actors there will be, at least 1.
    """

    def __init__(self, limit: int | None, unroll_steps: int, actors: int) -> None:
        assert unroll_steps >= 1, unroll_steps
        assert actors >= 1, actors
        self._limit = limit
        self._unroll_steps = unroll_steps
        self._actors = actors
        self._holds: dict[str, _Hold] = {}

    def grant(self, actor: str, incarnation: str, counted: int, total: int, now: float) -> int:
        """Return how many steps the actor may take after ``counted`` until it reports again.

        Args:
            actor: its name.
            incarnation: its newest incarnation.
            counted: its steps, as reported.
            total: the experiment's steps, these included.
            now: the moment, in seconds.
        """
        held = self._holds.get(actor)
        if held is not None and held.incarnation == incarnation and counted < held.counted:
            return 0  # a late report, whose answer nobody waits for
        steps = self._share(actor, total, now)
        if held is not None and (held.incarnation, held.counted) == (incarnation, counted):
            # A report sent twice: the actor may have got either answer.
            self._holds[actor] = _Hold(incarnation, counted, max(held.steps, steps), now)
        else:
            self._holds[actor] = _Hold(incarnation, counted, steps, now)
        return steps

    def _share(self, actor: str, total: int, now: float) -> int:
        if self._limit is None:
            return UNLIMITED
        others = [
            hold.steps
            for name, hold in self._holds.items()
            if name != actor and now - hold.seen < LOST_SECONDS
        ]
        actors = max(self._actors, len(others) + 1)
        left = self._limit - total - sum(others)
        unroll = self._unroll_steps
        if left >= actors * unroll:
            return left // actors // unroll * unroll
        within_bound = left + actors * unroll >= unroll
        return unroll if total < self._limit and within_bound else 0
