"""Every adder on real vector environments, in each of Gymnasium's autoreset modes.

The observation tells environment, episode and step, so that an item that joined two
episodes, or took the first observation of the next one for the final one, would show.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from greenroom.adders import EndOfEpisode, EpisodeAdder, NStepTransitionAdder, SequenceAdder
from greenroom.core import Adder, Transitions
from greenroom.environments import Environment
from greenroom.specs import Array, Tree

NUM_ENVS, STEPS, DISCOUNT = 3, 40, 0.5


class Telling(gym.Env[Array, Any]):
    """Episode e has 1 + e % 4 steps; even ones terminate, odd ones are truncated."""

    action_space = gym.spaces.Discrete(2)
    observation_space = gym.spaces.Box(0, 1_000, (3,), np.float32)

    def __init__(self, index: int) -> None:
        self._index, self._episode = index, -1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._episode, self._step = self._episode + 1, 0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        self._step += 1
        ended = self._step == length(self._episode)
        odd = self._episode % 2 == 1
        return self._observe(), 1.0, ended and not odd, ended and odd, {}

    def _observe(self) -> Array:
        return np.array([self._index, self._episode, self._step], np.float32)


def length(episode: float) -> int:
    return 1 + int(episode) % 4


class Collecting:
    """A writer that keeps every item by itself."""

    pending = 0

    def __init__(self) -> None:
        self.items: list[dict[str, Array]] = []

    def insert(self, table: str, items: Tree, priorities: Array) -> None:
        for index in range(len(priorities)):
            self.items.append({name: np.array(leaf[index]) for name, leaf in items.items()})

    def flush(self, timeout: float, max_pending: int = 0) -> None: ...


def play(mode: AutoresetMode, make: Any) -> tuple[list[dict[str, Array]], set[tuple[float, ...]]]:
    """Return the items, and (environment, episode, step) of each transition of ended episodes."""
    vector_env = SyncVectorEnv(
        [lambda index=index: Telling(index) for index in range(NUM_ENVS)], autoreset_mode=mode
    )
    environment = Environment(vector_env, seed=0)
    writer = Collecting()
    adder: Adder = make(writer, environment.spec)
    observation, taken, ended = environment.reset(), set(), set()
    action = np.zeros(NUM_ENVS, np.int64)
    for _ in range(STEPS):
        step = environment.step(action)
        adder.add(
            Transitions(
                observation,
                action,
                step.reward,
                step.terminated,
                step.truncated,
                step.next_observation,
                (),
                step.valid,
            )
        )
        for index in np.flatnonzero(step.valid):
            taken.add(tuple(observation[index].tolist()))
            if step.terminated[index] or step.truncated[index]:
                ended.add(tuple(observation[index, :2].tolist()))
        observation = step.observation
    environment.close()
    return writer.items, {place for place in taken if place[:2] in ended}


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("n_step", [1, 3])
def test_n_step_items_stay_in_their_episode(mode: AutoresetMode, n_step: int) -> None:
    items, wanted = play(
        mode,
        lambda writer, spec: NStepTransitionAdder(
            writer, spec, NUM_ENVS, n_step=n_step, discount=DISCOUNT
        ),
    )
    for item in items:
        index, episode, first = item["observation"]
        assert item["next_observation"][:2].tolist() == [index, episode]
        last = item["next_observation"][2]
        steps = last - first
        at_end = last == length(episode)
        assert steps == n_step or (at_end and 1 <= steps < n_step)
        terminated = at_end and episode % 2 == 0
        assert item["discount"] == (0.0 if terminated else DISCOUNT**steps)
    begun = [tuple(item["observation"].tolist()) for item in items]
    assert len(begun) == len(set(begun))
    assert wanted <= set(begun)


def check_records(item: dict[str, Array]) -> set[tuple[float, ...]]:
    """Check each transition of a sequence; return where they begin."""
    found = set()
    for t in np.flatnonzero(item["mask"][:-1]):
        index, episode, step = item["observation"][t]
        assert item["observation"][t + 1].tolist() == [index, episode, step + 1]
        at_end = step + 1 == length(episode)
        assert item["terminated"][t] == (at_end and episode % 2 == 0)
        assert item["truncated"][t] == (at_end and episode % 2 == 1)
        assert item["mask"][t + 1] == (not at_end) or t + 2 == len(item["mask"])
        found.add((float(index), float(episode), float(step)))
    return found


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("end", EndOfEpisode)
def test_sequences_do_not_join_episodes(mode: AutoresetMode, end: EndOfEpisode) -> None:
    items, wanted = play(
        mode,
        lambda writer, spec: SequenceAdder(
            writer, spec, NUM_ENVS, length=4, period=3, end_of_episode=end
        ),
    )
    found = set().union(*map(check_records, items))
    if end is EndOfEpisode.CONTINUE:  # the newest records wait for their sequence to fill
        newest = {index: max(p[1] for p in found if p[0] == index) for index in range(NUM_ENVS)}
        wanted = {place for place in wanted if place[1] < newest[int(place[0])]}
    assert wanted
    assert wanted <= found


@pytest.mark.parametrize("mode", AutoresetMode)
def test_an_episode_is_one_item(mode: AutoresetMode) -> None:
    items, wanted = play(
        mode, lambda writer, spec: EpisodeAdder(writer, spec, NUM_ENVS, max_length=10)
    )
    for item in items:
        episode = item["observation"][0, 1]
        assert item["observation"][:, 2].tolist() == list(range(length(episode) + 1))
        assert item["mask"].tolist() == [1.0] * length(episode) + [0.0]
    assert set().union(*map(check_records, items)) == wanted
