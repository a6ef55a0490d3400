"""Actor and evaluation against an environment whose every number is known.

Environment i's episodes last i + 1 steps; the observation is the step's number within
the episode; each step is worth 1. The policy remembers how many steps it has seen and
keeps that number as an extra.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from greenroom.acting.actor import Actor
from greenroom.acting.evaluation import evaluate
from greenroom.core import EnvironmentStep, PolicyOutput, State, Transitions, Variables
from greenroom.specs import Array, Tree


class Counting:
    """N environments; with ``next_step`` a reset takes a step of its own, as Gymnasium's."""

    def __init__(self, num_envs: int, *, next_step: bool = False) -> None:
        self.num_envs = num_envs
        self._next_step = next_step
        self._length = np.arange(1, num_envs + 1)

    def reset(self) -> Tree:
        self._step = np.zeros(self.num_envs, np.int64)
        self._over = np.zeros(self.num_envs, bool)
        return self._observation(self._step)

    def step(self, action: Tree) -> EnvironmentStep:
        valid = ~self._over
        self._step = np.where(valid, self._step + 1, 0)
        ended = valid & (self._step == self._length)
        final = self._observation(self._step)
        first = self._over.copy() if self._next_step else ended
        if self._next_step:
            self._over = ended
        else:
            self._step = np.where(ended, 0, self._step)
        return EnvironmentStep(
            reward=valid.astype(np.float32),
            terminated=ended,
            truncated=np.zeros(self.num_envs, bool),
            next_observation=final,
            valid=valid,
            observation=self._observation(self._step),
            first=first,
        )

    def _observation(self, step: Array) -> Array:
        return step[:, None].astype(np.float32)


class Remembering:
    """A policy with a memory: how many steps it has seen of each episode."""

    def initial_state(self, num_envs: int) -> Tree:
        return {"seen": torch.zeros(num_envs, 1)}

    def __call__(
        self, observation: Tree, state: Tree, generator: torch.Generator, environment_steps: int
    ) -> PolicyOutput:
        action = torch.zeros(len(observation), dtype=torch.int64)
        return PolicyOutput(action, {"seen": state["seen"] + 1}, {"seen": state["seen"]})

    def load_variables(self, variables: Mapping[str, Tensor]) -> None:
        self.loaded = float(variables["weight"])


class Collecting:
    """An adder that keeps what it is given."""

    table = "all"
    max_items_per_step = 1

    def __init__(self) -> None:
        self.added: list[Transitions] = []

    def add(self, transitions: Transitions) -> None:
        self.added.append(transitions)

    def reset(self, mask: Array) -> None: ...

    def state(self) -> State:
        return {}

    def restore(self, state: State) -> None: ...


class Fixed:
    """Variables of one version."""

    def get(self, newer_than: int) -> Variables | None:
        return Variables(3, {"weight": torch.tensor(7.0)}) if newer_than < 3 else None


def play(actor: Actor, environment: Counting, steps: int) -> None:
    observation = environment.reset()
    for _ in range(steps):
        action = actor.select_action(observation)
        step = environment.step(action)
        actor.observe(observation, action, step)
        observation = step.observation


def make_actor(num_envs: int) -> tuple[Actor, Collecting, Remembering]:
    adder, policy = Collecting(), Remembering()
    return Actor(policy, adder, Fixed(), torch.Generator(), num_envs), adder, policy


def test_a_policys_memory_starts_anew_with_each_episode() -> None:
    actor, adder, _ = make_actor(3)
    play(actor, Counting(3), steps=6)
    for transitions in adder.added:  # what it remembers is the step's number in its episode
        np.testing.assert_array_equal(transitions.extras["seen"], transitions.observation)


def test_reset_steps_are_not_counted() -> None:
    actor, adder, _ = make_actor(2)
    play(actor, Counting(2, next_step=True), steps=6)
    # Environment 0 steps and resets by turns (3 of 6), environment 1 two of three (4 of 6).
    assert actor.environment_steps == 7
    assert sum(int(added.valid.sum()) for added in adder.added) == 7
    assert actor.episodes.episodes == 3 + 2
    assert sorted(actor.episodes.returns) == [1.0, 1.0, 1.0, 2.0, 2.0]


def test_variables_are_taken_once_per_version() -> None:
    actor, _, policy = make_actor(1)
    actor.update()
    assert policy.loaded == 7.0
    policy.loaded = 0.0
    actor.update()
    assert policy.loaded == 0.0


def test_a_restored_actor_goes_on_as_the_one_that_was_saved() -> None:
    actor, adder, _ = make_actor(3)
    environment = Counting(3)
    play(actor, environment, steps=4)
    restored, again, _ = make_actor(3)
    restored.restore(actor.state())
    assert restored.environment_steps == 12
    assert list(restored.episodes.returns) == list(actor.episodes.returns)

    observation = np.zeros((3, 1), np.float32)
    for one in (actor, restored):
        one.select_action(observation)
        one.observe(observation, np.zeros(3, np.int64), environment.step(None))
    np.testing.assert_array_equal(adder.added[-1].extras["seen"], again.added[-1].extras["seen"])


def test_evaluation_counts_one_episode_of_each_environment_per_round() -> None:
    """Fast environments must not be over-represented: lengths are 1, 2, 3, then 1, 2."""
    for next_step in (False, True):
        played = evaluate(Remembering(), Counting(3, next_step=next_step), 5, torch.Generator())
        assert played is not None
        assert played.lengths == (1, 2, 3, 1, 2)
        assert played.returns == (1.0, 2.0, 3.0, 1.0, 2.0)
        assert played.episode_return == 9 / 5


def test_an_interrupted_evaluation_is_none() -> None:
    assert (
        evaluate(Remembering(), Counting(2), 2, torch.Generator(), interrupted=lambda: True) is None
    )
