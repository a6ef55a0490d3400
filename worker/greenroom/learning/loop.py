"""The loop around a learner: what every agent needs, once."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from greenroom.core import Batch, Dataset, Learner, Replay, State
from greenroom.errors import ReplayTimeout, TrainingDiverged
from greenroom.specs import Array

logger = logging.getLogger(__name__)

FINITE_CHECK_PERIOD = 100
METRICS_WINDOW = 1_000


class Publisher(Protocol):
    """Where new parameters go."""

    def publish(self, version: int, values: Mapping[str, Tensor]) -> None:
        """Make a copy of ``values`` the newest, as ``version`` (learner steps)."""


class LearningLoop:
    """Counts steps, sends priorities back, publishes variables, watches for divergence.

        loop = LearningLoop(learner, dataset, replay, variables)
        while replay.can_sample(dataset.table, dataset.batch_size):
            loop.step()
        loop.publish()

    Attributes:
        learner_steps: gradient steps inside the learner's present parameters.
        waiting_seconds: time spent on getting batches.
        lost_priority_updates: batches whose new priorities replay did not take in time.
    """

    def __init__(
        self, learner: Learner, dataset: Dataset, replay: Replay, variables: Publisher
    ) -> None:
        self.learner = learner
        self.learner_steps = 0
        self.waiting_seconds = 0.0
        self.lost_priority_updates = 0
        self._losing = False
        self._dataset = dataset
        self._replay = replay
        self._variables = variables
        self._published = -1
        # Tensors, not floats: reading one from a GPU would wait for it at every step.
        self._metrics: dict[str, deque[Tensor]] = {}

    def step(self) -> None:
        """Learn from the next batch.

        New priorities that replay does not take in time are lost, and counted: the items
        keep those that they have.

        Raises:
            ReplayTimeout: no batch came in time; nothing has changed.
            TrainingDiverged: the loss is not finite (looked at every 100 steps, since
                looking waits for the device).
        """
        began = time.perf_counter()
        try:
            batch = next(self._dataset)
        finally:
            self.waiting_seconds += time.perf_counter() - began
        output = self.learner.step(batch)
        self.learner_steps += 1
        for name, value in output.metrics.items():
            self._metrics.setdefault(name, deque(maxlen=METRICS_WINDOW)).append(value)
        if self.learner_steps % FINITE_CHECK_PERIOD == 0:
            self.check_finite()
        if output.priorities is not None:
            self._update_priorities(batch, output.priorities.cpu().numpy())

    def _update_priorities(self, batch: Batch, priorities: Array) -> None:
        if not np.isfinite(priorities).all():
            raise TrainingDiverged(
                f"Priorities must stay finite. Got: {priorities[~np.isfinite(priorities)][:4]} at "
                f"learner step {self.learner_steps}; look at rewards, learningRate and "
                "maxGradientNorm."
            )
        try:
            self._replay.update_priorities(self._dataset.table, batch.keys, priorities)
            self._losing = False
        except ReplayTimeout as error:
            if not self._losing:
                logger.warning("new priorities are lost: %s", error)
            self._losing = True
            self.lost_priority_updates += 1

    def publish(self) -> None:
        """Publish the learner's variables, if it has stepped since the last time."""
        if self.learner_steps != self._published:
            self._variables.publish(self.learner_steps, self.learner.variables())
            self._published = self.learner_steps

    def check_finite(self) -> None:
        """Raise `TrainingDiverged` unless the newest loss and all variables are finite."""
        losses = self._metrics.get("loss")
        if losses and not math.isfinite(value := float(losses[-1])):
            raise TrainingDiverged(
                f"The loss must stay finite. Got: {value} at learner step {self.learner_steps}; "
                "look at rewards, learningRate and maxGradientNorm."
            )
        for name, values in self.learner.variables().items():
            if values.is_floating_point() and not bool(torch.isfinite(values).all()):
                raise TrainingDiverged(
                    f"Parameters must stay finite. Got: {name} is not, at learner step "
                    f"{self.learner_steps}; look at rewards, learningRate and maxGradientNorm."
                )

    def take_metrics(self) -> dict[str, float]:
        """Return each metric's mean since the last call (of 1,000 steps at most)."""
        means = {name: float(values.mean()) for name, values in self._pending_metrics().items()}
        for values in self._metrics.values():
            values.clear()
        return means

    def state(self) -> State:
        """Return the learner's state and count, for a checkpoint."""
        return {
            "learner": self.learner.state(),
            "learner_steps": self.learner_steps,
            "metrics": self._pending_metrics(),
            # Layers such as dropout draw from it.
            "torch_generator": torch.get_rng_state(),
        }

    def _pending_metrics(self) -> dict[str, Tensor]:
        return {
            name: torch.stack([value.cpu() for value in values])
            for name, values in self._metrics.items()
            if values
        }

    def restore(self, state: State) -> None:
        """Take up what `state` returned, and publish it."""
        self.learner.restore(state["learner"])
        self.learner_steps = state["learner_steps"]
        torch.set_rng_state(state["torch_generator"])
        self._metrics = {
            name: deque(values.unbind(), maxlen=METRICS_WINDOW)
            for name, values in state["metrics"].items()
        }
        self._published = -1
        self.publish()
