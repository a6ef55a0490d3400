"""Wrappers by name, around single and around vector environments."""

import re
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import vector as vector_wrappers

from greenroom.environments import make_environment
from greenroom.errors import EnvironmentSetupError


class Halved(gym.RewardWrapper):
    def reward(self, reward):
        return reward / 2


class HalvedEverywhere(gym.vector.VectorRewardWrapper):
    def rewards(self, rewards):
        return rewards / 2


class MyNormalization(gym.wrappers.NormalizeObservation):
    pass


class MyVectorNormalization(vector_wrappers.NormalizeReward):
    pass


def unwrapping(env):
    return "not an environment"


def wrapper(name, **kwargs):
    return SimpleNamespace(name=name, kwargs=kwargs)


def mine(name):
    return f"{__name__}:{name}"


def make(*wrappers, vectorization="sync", num_envs=2):
    chosen = SimpleNamespace(id="CartPole-v1", kwargs={}, vectorization=vectorization)
    description = SimpleNamespace(gymnasium=chosen, factory=None, wrappers=wrappers)
    return make_environment(description, num_envs=num_envs, seed=0, name="actor-0")


def test_wrappers_apply_from_the_innermost_to_the_outermost():
    environment = make(
        wrapper("FrameStackObservation", stack_size=3),
        wrapper("ReshapeObservation", shape=(12,)),
        wrapper("DtypeObservation", dtype="float64"),
    )
    observation = environment.reset()
    assert observation.shape == (2, 12)
    assert observation.dtype == np.float64
    assert environment.spec.observations.shape == (12,)


@pytest.mark.parametrize("vectorization", ["sync", "native"])
def test_gymnasiums_name_means_its_vector_form_where_it_is_one(vectorization):
    environment = make(wrapper("ClipReward", max_reward=0.25), vectorization=vectorization)
    environment.reset()
    assert environment.step(np.zeros(2, np.int64)).reward.tolist() == [0.25, 0.25]


@pytest.mark.parametrize(
    ("name", "vectorization"), [("Halved", "sync"), ("HalvedEverywhere", "native")]
)
def test_a_wrapper_of_the_user(name, vectorization):
    environment = make(wrapper(mine(name)), vectorization=vectorization)
    environment.reset()
    assert environment.step(np.zeros(2, np.int64)).reward.tolist() == [0.5, 0.5]


def test_a_wrapped_vector_environment_gives_true_final_observations():
    environment = make(wrapper("ReshapeObservation", shape=(2, 2)), vectorization="native")
    assert environment.reset().shape == (2, 2, 2)
    steps = [environment.step(np.zeros(2, np.int64)) for _ in range(30)]
    finals = [step.next_observation[step.terminated] for step in steps]
    angles = np.concatenate(finals)[:, 1, 0]
    assert len(angles) > 3
    assert (np.abs(angles) > 0.2).all()  # the pole did fall


@pytest.mark.parametrize("vectorization", ["sync", "native"])
@pytest.mark.parametrize("name", ["NormalizeObservation", "NormalizeReward"])
def test_statistics_across_episodes_are_refused_with_the_reason(name, vectorization):
    with pytest.raises(EnvironmentSetupError, match=r"statistics across episodes.*actor to actor"):
        make(wrapper(name), vectorization=vectorization)


@pytest.mark.parametrize(
    ("name", "vectorization"), [("MyNormalization", "sync"), ("MyVectorNormalization", "native")]
)
def test_a_subclass_of_a_refused_wrapper_is_refused(name, vectorization):
    with pytest.raises(EnvironmentSetupError, match=rf"statistics.*Got: .*:{name}"):
        make(wrapper(mine(name)), vectorization=vectorization)


@pytest.mark.parametrize(
    ("wrappers", "vectorization", "message"),
    [
        ([wrapper("Autoreset")], "sync", "must not be Autoreset: it hides where episodes end"),
        ([wrapper("DictInfoToList")], "native", "must not be DictInfoToList"),
        ([wrapper("NumpyToTorch")], "sync", "must not be NumpyToTorch: it hands out tensors"),
        ([wrapper("ClipRewards")], "sync", "Got: 'ClipRewards' (did you mean ClipReward"),
        ([wrapper("vector")], "sync", "Got: 'vector'."),
        ([wrapper("ClipRewards")], "native", "Got: 'ClipRewards' (did you mean ClipReward"),
        (
            [wrapper("FrameStackObservation", stack_size=2)],
            "native",
            "must exist in gymnasium.wrappers.vector. Got: FrameStackObservation",
        ),
        (
            [wrapper("ClipReward", maximum=1)],
            "sync",
            "ClipReward must accept its environment and arguments. Got: kwargs {'maximum': 1}, "
            "TypeError",
        ),
        (
            [wrapper("ReshapeObservation", shape=[3])],
            "native",
            "ReshapeObservation must accept its environment and arguments.",
        ),
        ([wrapper("no_such_module:Wrap")], "sync", "no module 'no_such_module'"),
        (
            [wrapper(mine("unwrapping"))],
            "sync",
            "unwrapping must return a gymnasium Env. Got: str.",
        ),
        (
            [wrapper(mine("Halved"))],
            "native",
            "Halved must accept its environment and arguments.",
        ),
    ],
)
def test_what_cannot_be_wrapped(wrappers, vectorization, message):
    with pytest.raises(EnvironmentSetupError, match=re.escape(message)):
        make(*wrappers, vectorization=vectorization)
