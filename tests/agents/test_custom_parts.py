"""Networks and builders of a user's own: what fits works, what does not is named."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from greenroom.agents import make_builder
from greenroom.errors import ConfigurationError
from greenroom.networks import FlattenObservation, make_torso
from greenroom.spaces import EnvironmentSpec
from greenroom_api import Agent, InvalidExperiment, Network

SPEC = EnvironmentSpec.from_spaces(gym.spaces.Box(-1, 1, (4,), np.float32), gym.spaces.Discrete(2))


def raising(spec: EnvironmentSpec) -> nn.Module:
    raise RuntimeError("no such backbone")


def of_the_wrong_size(spec: EnvironmentSpec) -> nn.Module:
    return nn.Linear(7, 3)


def no_module(spec: EnvironmentSpec) -> Any:
    return [1, 2]


class Images(nn.Module):
    def forward(self, observation: Tensor) -> Tensor:
        return observation[:, :, None]


def keeping_dimensions(spec: EnvironmentSpec) -> nn.Module:
    return Images()


def normalising(spec: EnvironmentSpec) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5))


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("raising", "RuntimeError: no such backbone"),
        ("of_the_wrong_size", "RuntimeError"),
        ("no_module", "returned list"),
        ("keeping_dimensions", r"Got: \(1, 4, 1\)"),
        ("misspelt", "misspelt"),
    ],
)
def test_a_network_factory_that_does_not_fit_is_named(factory: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_torso(SPEC, Network(factory=f"test_custom_parts:{factory}"))


def test_a_network_factory_that_fits_is_measured_and_left_to_train() -> None:
    torso, features = make_torso(SPEC, Network(factory="test_custom_parts:normalising"))
    assert features == 5
    assert torso.training


def test_any_observation_becomes_features() -> None:
    space = gym.spaces.Dict(
        {
            "box": gym.spaces.Box(0, 255, (2, 3), np.uint8),
            "one": gym.spaces.Discrete(3, start=5),
            "many": gym.spaces.Tuple((gym.spaces.MultiDiscrete([2, 3]), gym.spaces.MultiBinary(2))),
        }
    )
    batch = {
        "box": torch.arange(6, dtype=torch.uint8).reshape(1, 2, 3),
        "one": torch.tensor([6]),
        "many": (torch.tensor([[1, 2]]), torch.tensor([[1, 0]], dtype=torch.int8)),
    }
    flatten = FlattenObservation(space)
    features = flatten(batch)
    assert features.shape == (1, flatten.features)
    by_key = {"box": [0, 1, 2, 3, 4, 5], "one": [0, 1, 0], "many": [0, 1, 0, 0, 1, 1, 0]}
    assert features[0].tolist() == [value for key in space.spaces for value in by_key[key]]


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid")
    rate: float = 1.0


class Half:
    config_class = Config

    def make_network(self) -> nn.Module:
        return nn.Linear(1, 1)


@pytest.mark.parametrize(
    ("builder", "config", "error", "message"),
    [
        ("Half", {}, ConfigurationError, "without make_adder, make_dataset"),
        ("Half", {"rat": 2}, InvalidExperiment, r"spec\.agent\.custom\.config\.rat.*rate\?"),
        ("Config", {}, ConfigurationError, "config_class"),
    ],
)
def test_a_custom_builder_that_does_not_fit_is_named(
    builder: str, config: dict[str, Any], error: type[Exception], message: str
) -> None:
    agent = Agent.model_validate(
        {"custom": {"builder": f"test_custom_parts:{builder}", "config": config}}
    )
    with pytest.raises(error, match=message):
        make_builder(agent, SPEC)


def test_dqn_refuses_continuous_actions() -> None:
    continuous = EnvironmentSpec.from_spaces(SPEC.observation_space, gym.spaces.Box(-1, 1, (2,)))
    with pytest.raises(ConfigurationError, match=r"Discrete .* Got: Box"):
        make_builder(Agent.model_validate({"dqn": {}}), continuous)
