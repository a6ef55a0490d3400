"""Drivers: who acts and who learns when.

A driver moves a training forward until a limit is reached or it is interrupted. The
next call goes on exactly where this one stopped, whatever was saved or evaluated
between them. In one process acting and learning take turns or overlap; a learner in a
process of its own only learns, and counts what actors elsewhere report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from greenroom.acting.actor import Actor
from greenroom.core import State
from greenroom.environments import Environment
from greenroom.replay.tables import TableInfo
from greenroom.training.assembly import Parts


@dataclass(frozen=True)
class Limits:
    """Where to stop: counts, None for no limit."""

    environment_steps: int | None = None
    learner_steps: int | None = None


class Bottleneck(NamedTuple):
    """``side`` is "actor" or "learner"; ``share``, 0 to 1, of the time it is what takes time."""

    side: str
    share: float


class Episodes(Protocol):
    """Training episodes that ended: how many so far, and the mean return of the newest."""

    @property
    def episodes(self) -> int: ...

    def mean_return(self) -> float | None:
        """Return the mean return of the newest 100, None before the first episode ends."""


class Driver(Protocol):
    """Moves a training forward, and knows what it is made of beside the learner."""

    @property
    def environment_steps(self) -> int:
        """Transitions so far. Does not change between two calls of `advance`, or `finish`."""

    @property
    def episodes(self) -> Episodes: ...

    def advance(self, limits: Limits, interrupted: Callable[[], bool]) -> None:
        """Go on until a limit is reached or ``interrupted()``, which is asked at every step."""

    def finish(self) -> None:
        """End acting for good: the training is over, and all counts are in after it."""

    def why_waiting(self) -> str | None:
        """Return what stands still and why, None if both sides go on or take turns."""

    def replay_info(self) -> TableInfo | None:
        """Return the state of the table that is learned from, None while it is not known."""

    def bottleneck(self) -> Bottleneck | None:
        """Return the side that the other waits for, None while it is not known."""

    def state(self) -> dict[str, State]:
        """Return the parts of a checkpoint that are not the learner's, by name."""

    def restore(self, parts: Mapping[str, State], reported_steps: int) -> list[str]:
        """Take up what `state` returned, or what of it this driver has a use for.

        Args:
            parts: of the checkpoint, by name.
            reported_steps: environment steps that actors elsewhere have reported, which may
                be more than the checkpoint knows of.

        Returns:
            What the checkpoint, written by another driver, does not hold: one sentence each.
        """

    def close(self) -> None:
        """End what the driver started."""


class LocalDriver:
    """What drivers of one process have in common: the parts are all here.

    Attributes:
        acting_seconds, learning_seconds: time that either side worked.
    """

    def __init__(self, parts: Parts) -> None:
        self.acting_seconds = 0.0
        self.learning_seconds = 0.0
        self._parts = parts

    @property
    def environment_steps(self) -> int:
        """Transitions so far."""
        return self._parts.actor.environment_steps

    @property
    def episodes(self) -> Episodes:
        """What the actor played."""
        return self._parts.actor.episodes

    def finish(self) -> None:
        """Nothing acts between two calls of `advance`."""

    def why_waiting(self) -> str | None:
        """Nothing ever waits without the other side working."""
        return None

    def replay_info(self) -> TableInfo:
        """Return the state of the table that is learned from."""
        return self._parts.replay.info()[self._parts.dataset.table]

    def bottleneck(self) -> Bottleneck | None:
        """Return the side that worked longer, and its share of both sides' time."""
        acting, learning = self.acting_seconds, self.learning_seconds
        if not acting + learning:
            return None
        slower = "actor" if acting > learning else "learner"
        return Bottleneck(slower, max(acting, learning) / (acting + learning))

    def _state(self, own: State) -> dict[str, State]:
        parts = self._parts
        return {
            "actor": parts.actor.state(),
            "adder": parts.adder.state(),
            "driver": own,
            "replay": parts.replay.state(),
        }

    def _restore(self, parts: Mapping[str, State], reported_steps: int) -> bool:
        """Take up all parts; return False if there are only counts, of a run as processes."""
        actor = self._parts.actor
        if "replay" not in parts:
            actor.environment_steps = max(parts["actor"]["environment_steps"], reported_steps)
            actor.episodes.restore_finished(parts["actor"]["episodes"])
            return False
        actor.restore(parts["actor"])
        self._parts.adder.restore(parts["adder"])
        self._parts.replay.restore(parts["replay"])
        return True


ONLY_COUNTS = (
    "the checkpoint was written by a learner in a process of its own: replay begins empty, and "
    "episodes anew"
)


class ActingSide:
    """The acting half of a driver: one observation, carried from step to step."""

    def __init__(self, environment: Environment, actor: Actor) -> None:
        self._environment = environment
        self._actor = actor
        self._observation = environment.reset()

    def step(self) -> None:
        """Take one step in every environment."""
        action = self._actor.select_action(self._observation)
        step = self._environment.step(action)
        self._actor.observe(self._observation, action, step)
        self._observation = step.observation

    def state(self) -> State:
        """Return the environments' state; observations follow from it."""
        return {"environment": self._environment.state()}

    def restore(self, state: State) -> None:
        """Put the environments back; what cannot be put back begins anew."""
        self._observation, intact = self._environment.restore(state["environment"])
        if not intact.all():
            self._actor.begin_anew(~intact)
