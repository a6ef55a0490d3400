"""Values that change over the course of an experiment, in absolute environment steps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LinearSchedule:
    """From ``initial`` to ``final`` in a straight line over ``steps``, and ``final`` from then on.

    >>> LinearSchedule(1.0, 0.0, steps=100)(25)
    0.75
    """

    initial: float
    final: float
    steps: int

    def __call__(self, environment_steps: int) -> float:
        """Return the value after so many environment steps."""
        if environment_steps >= self.steps:
            return self.final
        return self.initial + (self.final - self.initial) * environment_steps / self.steps
