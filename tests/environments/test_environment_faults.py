"""What a running environment must not do, and how it is told."""

import re

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from toy_environments import Batched, Counting, Nested, environment_of

from greenroom.environments import Environment
from greenroom.errors import EnvironmentFault


class Poisoned(Counting):
    """Answers with ``value`` as reward in the second step of the third episode of index 1."""

    def __init__(self, index, value):
        super().__init__(index)
        self._value = value

    def step(self, action):
        observation, reward, *rest = super().step(action)
        if (self._index, self._episode, self._step) == (1, 2, 1):
            reward = self._value
        return observation, reward, *rest


def run(environment, steps=20):
    environment.reset()
    for _ in range(steps):
        environment.step(np.zeros(environment.num_envs, np.int64))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39, 1e300])
def test_a_reward_that_is_no_finite_float32(value):
    environment = environment_of(lambda index: Poisoned(index, value))
    with pytest.raises(EnvironmentFault) as caught:
        run(environment)
    message = str(caught.value)
    assert message.startswith("A reward must be a finite number that float32 holds. Got: ")
    assert str(np.float64(value)) in message
    assert "environment 1 of Poisoned (actor), episode 2, step 1" in message


@pytest.mark.parametrize("value", [3e38, -1e30, 0.0])
def test_a_large_reward_is_a_reward(value):
    run(environment_of(lambda index: Poisoned(index, value)))


@pytest.mark.parametrize("at_step", [0, 2])
def test_nan_in_an_observation_is_found_at_any_step(at_step):
    class Late(Counting):
        def observe(self):
            observation = super().observe()
            if (self._index, self._episode, self._step) == (2, 3, at_step):
                observation[0] = np.nan
            return observation

    with pytest.raises(
        EnvironmentFault, match=rf"must not be NaN.*environment 2 .*episode 3, step {at_step}"
    ):
        run(environment_of(Late))


def test_nan_in_a_nested_observation_is_found():
    class Late(Nested):
        def observe(self):
            observation = super().observe()
            if (self._index, self._episode, self._step) == (1, 1, 2):
                observation["index"][1, 0] = np.nan
            return observation

    with pytest.raises(
        EnvironmentFault, match=r"must not be NaN.*environment 1 .*episode 1, step 2"
    ):
        run(environment_of(Late))


def observing(observation, space):
    class Odd(Counting):
        def __init__(self, index):
            super().__init__(index)
            self.observation_space = space

        def observe(self):
            return observation if self._index == 1 else space.sample()

    return environment_of(Odd, num_envs=2)


@pytest.mark.parametrize(
    ("observation", "space", "message"),
    [
        (
            np.array([0, 5], np.float32),
            spaces.Box(-1, 2, (2,), np.float32),
            "observation[1] must be within [-1.0000001192092896, 2.000000238418579]. "
            "Got: 5.0 in environment 1.",
        ),
        (
            np.array([0, np.nan], np.float32),
            spaces.Box(-1, 2, (2,), np.float32),
            "Got: nan in environment 1.",
        ),
        (4, spaces.Discrete(3, start=1), "must be within [1, 3]. Got: 4 in environment 1."),
        (np.array([1, 2]), spaces.MultiDiscrete([2, 2]), "observation[1] must be within [0, 1]"),
        (np.array([0, 2], np.int8), spaces.MultiBinary(2), "observation[1] must be within [0, 1]"),
        (
            {"a": (0, np.full((2,), 300.0, np.float32))},
            spaces.Dict({"a": spaces.Tuple([spaces.Discrete(2), spaces.Box(0, 255, (2,))])}),
            "observation['a'][1][0] must be within",
        ),
        (
            np.zeros(3, np.float32),
            spaces.Box(-1, 2, (2,), np.float32),
            "observation must have the shape (2,) of its space. Got: (3,) in environment 1.",
        ),
        (
            np.array([0.5, 0.5]),
            spaces.Box(0, 255, (2,), np.uint8),
            "observation must have the dtype uint8 of its space. Got: float64 in environment 1.",
        ),
        (
            {"b": 1},
            spaces.Dict({"a": spaces.Discrete(2)}),
            "observation must be a dict with the keys ['a']. "
            "Got: a dict with the keys ['b'] in environment 1.",
        ),
        (
            (1,),
            spaces.Tuple([spaces.Discrete(2), spaces.Discrete(2)]),
            "observation must be a tuple of 2. Got: a tuple of 1 in environment 1.",
        ),
        ([1, [2, 3]], spaces.MultiBinary(2), "must be an array of shape (2,)"),
    ],
)
def test_the_first_observation_must_fit_its_space(observation, space, message):
    with pytest.raises(EnvironmentFault, match="must fit the observation space") as caught:
        observing(observation, space).reset()
    assert message in str(caught.value)


def test_the_first_step_is_checked_as_well():
    class Grows(Counting):
        def observe(self):
            return super().observe() + np.float32(self._step * 2_000)

    environment = environment_of(Grows)
    environment.reset()
    with pytest.raises(EnvironmentFault, match=r"must be within .*Got: 2000\.0"):
        environment.step(np.zeros(3, np.int64))


@pytest.mark.parametrize("space", [spaces.Box(0, np.pi, (1,)), spaces.Box(-1, 1, (1,), np.float64)])
def test_a_bound_is_met_up_to_rounding(space):
    edge = np.nextafter(space.high, np.inf).astype(space.dtype)
    observing(edge, space).reset()


class Native(Batched):
    """`Batched` that answers with whatever it is given."""

    def __init__(self, observation=None, reward=None):
        super().__init__(2)
        self._answers = observation, reward

    def reset(self, *, seed=None, options=None):
        observation, infos = super().reset()
        return (observation if self._answers[0] is None else self._answers[0]), infos

    def step(self, actions):
        observation, reward, *rest = super().step(actions)
        return observation, (reward if self._answers[1] is None else self._answers[1]), *rest


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        (np.zeros((2, 2)), "must have the dtype float32 of its space. Got: float64."),
        (np.zeros((3, 2), np.float32), "for each of 2 environments. Got: (3, 2)."),
        ({"a": 1}, "must be a numpy array. Got: a dict with the keys ['a']."),
    ],
)
def test_a_native_batch_must_fit_as_well(observation, message):
    with pytest.raises(EnvironmentFault, match=re.escape(message)):
        Environment(Native(observation), seed=0).reset()


def test_rewards_must_be_one_number_for_each_environment():
    environment = Environment(Native(reward=np.zeros((2, 1))), seed=0)
    environment.reset()
    with pytest.raises(EnvironmentFault, match=r"reward must be one number .*shape \(2, 1\)"):
        environment.step(np.zeros(2, np.int64))


def test_an_exception_inside_the_environment_is_its_fault():
    class Raises(Counting):
        def step(self, action):
            if self._episode == 1:
                raise ZeroDivisionError("on purpose")
            return super().step(action)

    environment = environment_of(Raises)
    with pytest.raises(EnvironmentFault) as caught:
        run(environment)
    assert "Raises (actor): an environment must not raise" in str(caught.value)
    assert "ZeroDivisionError in a step, after 1 vector steps: on purpose" in str(caught.value)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_an_exception_in_reset_is_its_fault():
    class Raises(Counting):
        def reset(self, *, seed=None, options=None):
            raise KeyError("level")

    with pytest.raises(EnvironmentFault, match="KeyError in a reset, after 0 vector steps"):
        environment_of(Raises).reset()


def test_the_title_is_the_registered_id_where_there_is_one():
    environment = Environment(gym.make_vec("CartPole-v1", num_envs=1), seed=0, name="evaluator")
    environment.reset()
    with pytest.raises(EnvironmentFault, match=r"^CartPole-v1 \(evaluator\): "):
        environment.step("left")
    environment.close()
