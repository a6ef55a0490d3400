"""How far each actor may go before it reports again, so that a run ends where it should."""

from __future__ import annotations

from collections.abc import Iterable
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

        grants = Grants(limit=200_000, unroll_steps=160)
        steps = grants.grant(report, total=1_280, now=time.monotonic())

    Actors come and go: those count that have reported lately. What is counted and what
    they hold together exceed the limit by one unroll for each of them at most, whatever
    their speeds::

        total + sum of the steps held  <=  limit + actors * unroll_steps

    An actor gets an equal share of what nobody holds, one more share being kept for
    whoever comes next, in whole unrolls; one unroll where the share is smaller; none
    where even that would break the bound. Then it waits until
    the others have reported, which they do every second, or are taken for dead. A smaller
    grant counts only once the actor says that it has it (`ActorReport.allowed_steps`).

    A learner that was started again does not know what actors hold until they report, and
    grants nothing before all that it knows of have, or are taken for dead.

    Attributes:
        limit: environment steps of the experiment, None without one; may be changed.

    Args:
        limit: that.
        unroll_steps: environment steps of one unroll of all environments of an actor.
        unknown: names of actors that may hold what this object does not know of.
        unknown_until: the moment from which they are taken for dead; on the clock of `grant`.
    """

    def __init__(
        self,
        limit: int | None,
        unroll_steps: int,
        unknown: Iterable[str] = (),
        unknown_until: float = 0.0,
    ) -> None:
        assert unroll_steps >= 1, unroll_steps
        self.limit = limit
        self._unroll_steps = unroll_steps
        self._unknown = set(unknown)
        self._unknown_until = unknown_until
        self._holds: dict[str, _Hold] = {}

    @property
    def actors(self) -> int:
        """How many actors had reported lately, and not left, at the newest report."""
        return len(self._holds)

    def _forget_the_dead(self, now: float) -> None:
        self._holds = {
            name: hold for name, hold in self._holds.items() if now - hold.seen < LOST_SECONDS
        }

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
        self._unknown.discard(report.actor)
        if report.leaving:
            self._holds.pop(report.actor, None)
            return 0
        steps = self._share(report.actor, total, now)
        may_take = max(steps, report.allowed_steps - counted)
        self._holds[report.actor] = _Hold(report.incarnation, counted, may_take, now)
        return steps

    def _share(self, actor: str, total: int, now: float) -> int:
        self._forget_the_dead(now)
        if self.limit is None:
            return UNLIMITED
        if self._unknown and now < self._unknown_until:
            return 0
        others = [hold.steps for name, hold in self._holds.items() if name != actor]
        actors = len(others) + 1
        left = self.limit - total - sum(others)
        unroll = self._unroll_steps
        if left >= (actors + 1) * unroll:
            return left // (actors + 1) // unroll * unroll
        within_bound = left + actors * unroll >= unroll
        return unroll if total < self.limit and within_bound else 0
