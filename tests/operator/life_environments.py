"""Environments for real roles in pods: pods have this folder on their PYTHONPATH."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import gymnasium as gym

# About 300 steps per second and actor, so that a training leaves room for others on two cores.
STEP_SECONDS = 0.003


class Calm(gym.Wrapper[Any, Any, Any, Any]):
    """CartPole, but each step takes its time."""

    def __init__(self) -> None:
        super().__init__(gym.make("CartPole-v1"))

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        time.sleep(STEP_SECONDS)
        return self.env.step(action)


def unlicensed() -> gym.Env[Any, Any]:
    """Raise, as an environment does whose simulator is not to be had."""
    raise RuntimeError("the simulator has no licence")


def crashing() -> gym.Env[Any, Any]:
    """End the process, as a fault in a simulator's native code does."""
    print("the simulator lost its display", file=sys.stderr, flush=True)
    os._exit(1)
