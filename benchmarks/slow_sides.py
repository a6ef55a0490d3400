"""Sides that take their time, for benchmarks/actors_scaling.py: environments, and a learner."""

from __future__ import annotations

import time
from typing import Any

import gymnasium as gym
import torch
from torch import nn

from greenroom.agents.dqn import DQNBuilder
from greenroom.core import Batch, LearnerOutput
from greenroom_api import DQN

UNHURRIED_SECONDS = 0.002
ENVIRONMENT_SECONDS = 0.02
LEARNER_SECONDS = 0.05


class Sleepy(gym.Wrapper[Any, Any, Any, Any]):
    """An environment that takes its time."""

    def __init__(self, environment: gym.Env[Any, Any], seconds: float) -> None:
        super().__init__(environment)
        self._seconds = seconds

    def step(self, action: Any) -> Any:
        time.sleep(self._seconds)
        return super().step(action)


def unhurried_cartpole() -> gym.Env[Any, Any]:
    return Sleepy(gym.make("CartPole-v1"), UNHURRIED_SECONDS)


def slow_cartpole() -> gym.Env[Any, Any]:
    return Sleepy(gym.make("CartPole-v1"), ENVIRONMENT_SECONDS)


class SleepyLearner:
    """A learner that takes its time, and is otherwise the one inside it."""

    def __init__(self, learner: Any) -> None:
        self._learner = learner

    def step(self, batch: Batch) -> LearnerOutput:
        time.sleep(LEARNER_SECONDS)
        output: LearnerOutput = self._learner.step(batch)
        return output

    def __getattr__(self, name: str) -> Any:
        return getattr(self._learner, name)


class SlowDQN(DQNBuilder):
    """DQN with such a learner."""

    config_class = DQN

    def make_learner(self, network: nn.Module, device: torch.device) -> Any:
        return SleepyLearner(super().make_learner(network, device))
