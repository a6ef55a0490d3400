"""What actors have done, added up so that nothing is counted twice and nothing falls."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from greenroom.variables.messages import ActorReport

Key: TypeAlias = tuple[str, str]
"""Actor and incarnation."""

BASE: Final[Key] = ("", "")
"""Under which stands what was done before any actor reported; no actor has an empty name."""

FORGOTTEN: Final[Key] = ("", "forgotten")
"""Under which stands what incarnations did that are not told apart any more."""


@dataclass(frozen=True)
class ActorCounts:
    """Cumulative counts of one incarnation of an actor, or a sum of such.

    Attributes:
        environment_steps: transitions seen.
        episodes: episodes finished.
        dropped_items: items that never reached replay.
        acting_seconds, waiting_seconds: time spent acting, and held back by the limiter.
    """

    environment_steps: int = 0
    episodes: int = 0
    dropped_items: int = 0
    acting_seconds: float = 0.0
    waiting_seconds: float = 0.0

    @classmethod
    def of(cls, source: ActorReport | ActorCounts) -> ActorCounts:
        """Return the counts in a report."""
        return ActorCounts(*(getattr(source, name) for name in _FIELDS))

    def join(self, other: ActorCounts) -> ActorCounts:
        """Return the later of two counts of one incarnation, whichever came first."""
        return ActorCounts(*(max(*pair) for pair in self._beside(other)))

    def plus(self, other: ActorCounts) -> ActorCounts:
        """Return the sum."""
        return ActorCounts(*(mine + others for mine, others in self._beside(other)))

    def minus(self, other: ActorCounts) -> ActorCounts:
        """Return the difference."""
        return ActorCounts(*(mine - others for mine, others in self._beside(other)))

    def _beside(self, other: ActorCounts) -> Iterator[tuple[Any, Any]]:
        return ((getattr(self, name), getattr(other, name)) for name in _FIELDS)


_FIELDS: Final = tuple(field.name for field in dataclasses.fields(ActorCounts))


class Counts:
    """The newest counts of every incarnation of every actor, and their sum.

        counts = Counts()
        counts.merge(("actor-0", "5d1e"), ActorCounts(environment_steps=320))
        counts.merge(("actor-0", "5d1e"), ActorCounts(environment_steps=160))   # late: no matter
        counts.total.environment_steps                                          # 320

    Each report holds all that an incarnation has done, so that the sum is the same in
    whatever order they come and however often.

    Attributes:
        total: the sum, with what was done before any actor reported. Never falls.
    """

    def __init__(self) -> None:
        self.total = ActorCounts()
        self._newest: dict[Key, ActorCounts] = {}
        self._incarnations: dict[str, list[str]] = {}

    @property
    def newest(self) -> Mapping[Key, ActorCounts]:
        """Each incarnation's counts, in the order of first reports."""
        return self._newest

    def get(self, key: Key) -> ActorCounts | None:
        """Return an incarnation's counts, None if it has not reported."""
        return self._newest.get(key)

    def merge(self, key: Key, counts: ActorCounts) -> None:
        """Take what an incarnation has counted."""
        if key not in self._newest:
            self._incarnations.setdefault(key[0], []).append(key[1])
        before = self._newest.get(key, ActorCounts())
        after = before.join(counts)
        self._newest[key] = after
        self.total = self.total.plus(after.minus(before))

    def actors(self) -> set[str]:
        """Return the names of the actors that have reported."""
        return self._incarnations.keys() - {BASE[0]}

    def without(self, forgotten: Collection[Key]) -> Counts:
        """Return the same sum, in which these incarnations stand together as `FORGOTTEN`."""
        together = self.get(FORGOTTEN) or ActorCounts()
        for key in forgotten:
            together = together.plus(self._newest[key])
        kept = Counts()
        for key, counts in {**self._newest, FORGOTTEN: together}.items():
            if key not in forgotten:
                kept.merge(key, counts)
        kept.total = self.total  # sums of fractions differ by the order of their terms
        return kept

    def incarnations(self, actor: str) -> Sequence[str]:
        """Return an actor's incarnations, in the order of their first reports."""
        return self._incarnations.get(actor, ())
