"""Drivers: who acts and who learns when, in one process.

A driver moves a training forward until a limit is reached or it is interrupted. The
next call goes on exactly where this one stopped, whatever was saved or evaluated
between them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from greenroom.acting.actor import Actor
from greenroom.core import State
from greenroom.environments import Environment


@dataclass(frozen=True)
class Limits:
    """Where to stop: counts, None for no limit."""

    environment_steps: int | None = None
    learner_steps: int | None = None


class Driver(Protocol):
    """Moves a training forward.

    Attributes:
        acting_seconds, learning_seconds: time that either side worked.
    """

    acting_seconds: float
    learning_seconds: float

    def advance(self, limits: Limits, interrupted: Callable[[], bool]) -> None:
        """Go on until a limit is reached or ``interrupted()``, which is asked at every step."""

    def settle(self) -> None:
        """Make all parts show the same moment, before their states are taken."""

    def state(self) -> State:
        """Return whose turn it is and what is acted on, for a checkpoint."""

    def restore(self, state: State) -> None:
        """Take up what `state` returned, after all other parts took up theirs."""

    def close(self) -> None:
        """End what the driver started."""


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
