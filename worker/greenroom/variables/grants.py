"""How far each actor may go before it reports again, so that a run ends where it should."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from greenroom.variables.messages import ActorReport

UNLIMITED: Final = 2**40
"""The grant, in environment steps, where the experiment has no limit of them."""

LOST_SECONDS: Final = 10.0
"""An actor that has not reported for so long is taken for dead, and its grant for unused."""


@dataclass(frozen=True)
class _Hold:
    """What one actor may have taken since its newest report."""

    incarnation: str
    counted: int
    steps: int
    seen: float


class Grants:
    """Hands out what is left of the experiment's environment steps.

        grants = Grants(limit=200_000, unroll_steps=160, actors=4)
        steps = grants.grant(report, total=1_280, now=time.monotonic())

    What is counted and what actors hold together exceed the limit by one unroll for each
    actor at most, whatever the actors' speeds::

        total + sum of the steps held  <=  limit + actors * unroll_steps

    An actor gets an equal share of what nobody holds, in whole unrolls; one unroll where
    the share is smaller; none where even that would break the bound. Then it waits until
    the others have reported, which they do every second, or are taken for dead. A smaller
    grant counts only once the actor says that it has it (`ActorReport.allowed_steps`).

    A learner that was started again does not know what actors hold until they report, and
    grants nothing before they all have, or are taken for dead.

    Args:
        limit: environment steps of the experiment, None without one.
        unroll_steps: environment steps of one unroll of all environments of an actor.
        actors: how many actors there will be, at least 1.
        unknown_until: the moment until which actors may hold what this object does not
            know of; on the clock of `grant`.
    """

    def __init__(
        self, limit: int | None, unroll_steps: int, actors: int, unknown_until: float = 0.0
    ) -> None:
        assert unroll_steps >= 1, unroll_steps
        assert actors >= 1, actors
        self._limit = limit
        self._unroll_steps = unroll_steps
        self._actors = actors
        self._unknown_until = unknown_until
        self._holds: dict[str, _Hold] = {}

    def grant(self, report: ActorReport, total: int, now: float) -> int:
        """Return how many steps an actor may take after those in its report.

        Args:
            report: of the actor's newest incarnation.
            total: the experiment's steps, those in the report included.
            now: the moment, in seconds.
        """
        counted = report.environment_steps
        held = self._holds.get(report.actor)
        if held and held.incarnation == report.incarnation and counted < held.counted:
            return 0  # a late report, whose answer nobody waits for
        if report.leaving:
            steps = may_take = 0
        else:
            steps = self._share(report.actor, total, now)
            may_take = max(steps, report.allowed_steps - counted)
        self._holds[report.actor] = _Hold(report.incarnation, counted, may_take, now)
        return steps

    def _share(self, actor: str, total: int, now: float) -> int:
        if self._limit is None:
            return UNLIMITED
        others = [
            hold.steps
            for name, hold in self._holds.items()
            if name != actor and now - hold.seen < LOST_SECONDS
        ]
        if now < self._unknown_until and len(others) + 1 < self._actors:
            return 0
        actors = max(self._actors, len(others) + 1)
        left = self._limit - total - sum(others)
        unroll = self._unroll_steps
        if left >= actors * unroll:
            return left // actors // unroll * unroll
        within_bound = left + actors * unroll >= unroll
        return unroll if total < self._limit and within_bound else 0
