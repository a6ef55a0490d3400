"""Network parts that agents share: from any observation tree to features.

B is the batch, L records in a row, F features, H units of a memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
import optree
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional

from greenroom.errors import ConfigurationError
from greenroom.imports import load_object
from greenroom.spaces import EnvironmentSpec
from greenroom.specs import Tree

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "elu": nn.ELU}


class MLPDescription(Protocol):
    """A multilayer perceptron, as an experiment describes it."""

    @property
    def hidden_sizes(self) -> Sequence[int]: ...
    @property
    def activation(self) -> str: ...


class NetworkDescription(Protocol):
    """A network, as an experiment describes it: one of the two is set."""

    @property
    def mlp(self) -> MLPDescription | None: ...
    @property
    def factory(self) -> str | None: ...


class FlattenObservation(nn.Module):
    """Any observation tree to one vector: [B, ...] -> [B, F] float32.

    Box and MultiBinary entries are taken as they are; Discrete and MultiDiscrete ones
    become one-hot vectors; the entries of Dict (in its own order) and Tuple are joined.
    """

    def __init__(self, space: gym.Space[Any]) -> None:
        super().__init__()
        self._space = space
        self.features = _features(space)
        # The commonest space of all, a float32 vector, needs nothing done to it.
        self._is_features = isinstance(space, spaces.Box) and space.dtype == np.float32

    def forward(self, observation: Tree) -> Tensor:
        """Return features [B, F]."""
        if isinstance(observation, Tensor) and observation.ndim == 2 and self._is_features:
            return observation
        parts = _flatten(self._space, observation)
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _features(space: gym.Space[Any]) -> int:
    match space:
        case spaces.Dict():
            return sum(_features(sub) for sub in space.spaces.values())
        case spaces.Tuple():
            return sum(_features(sub) for sub in space.spaces)
        case spaces.Discrete():
            return int(space.n)
        case spaces.MultiDiscrete():
            return int(np.sum(space.nvec))
    return math.prod(space.shape or ())


def _flatten(space: gym.Space[Any], value: Any) -> list[Tensor]:
    match space:
        case spaces.Dict():
            return [part for key in space.spaces for part in _flatten(space[key], value[key])]
        case spaces.Tuple():
            return [
                part
                for sub, item in zip(space.spaces, value, strict=True)
                for part in _flatten(sub, item)
            ]
        case spaces.Discrete():
            return [_one_hot(value - int(space.start), int(space.n))]
        case spaces.MultiDiscrete():
            shifted = (value - torch.as_tensor(space.start, device=value.device)).flatten(1)
            sizes = space.nvec.reshape(-1).tolist()
            return [_one_hot(shifted[:, index], size) for index, size in enumerate(sizes)]
    flat = value if value.ndim == 2 else value.flatten(1) if value.ndim > 2 else value[:, None]
    return [flat if flat.dtype == torch.float32 else flat.float()]


def _one_hot(index_B: Tensor, size: int) -> Tensor:
    return functional.one_hot(index_B.long(), size).float()


def make_torso(spec: EnvironmentSpec, description: NetworkDescription) -> tuple[nn.Module, int]:
    """Return a module from observation trees to features [B, F], and F.

    A user's ``factory`` is called with the `EnvironmentSpec` and returns such a module;
    F is found by showing it one observation of zeros.

    Raises:
        ConfigurationError: the factory cannot be had, or what it made does not fit.
    """
    if description.mlp is not None:
        return _mlp(spec, description.mlp)
    assert description.factory is not None
    factory = load_object(description.factory, "network factory")
    try:
        torso = factory(spec)
    except Exception as error:
        raise ConfigurationError(
            "A network factory must return a torch.nn.Module for the environment's spec. "
            f"Got: {description.factory} raised {type(error).__name__}: {error}"
        ) from error
    if not isinstance(torso, nn.Module):
        raise ConfigurationError(
            f"A network factory must return a torch.nn.Module. Got: {description.factory} "
            f"returned {type(torso).__name__}."
        )
    features = _show(torso, zero_observation(spec), description.factory)
    if not (isinstance(features, Tensor) and features.ndim == 2 and len(features) == 1):
        got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise ConfigurationError(
            "A network must turn an observation batch [B, ...] into features [B, F]. "
            f"Got: {got} from {description.factory} for B=1."
        )
    return torso, features.shape[1]


def _show(torso: nn.Module, observation: Tree, factory: str) -> Any:
    """Return what a user's module makes of an observation; it is left in training mode."""
    try:
        with torch.no_grad():
            return torso.eval()(observation)
    except Exception as error:
        raise ConfigurationError(
            "A network must turn an observation batch [B, ...] into features [B, F]. Got: the "
            f"module of {factory} raised {type(error).__name__}: {error}"
        ) from error
    finally:
        torso.train()


def _mlp(spec: EnvironmentSpec, description: MLPDescription) -> tuple[nn.Module, int]:
    flatten = FlattenObservation(spec.observation_space)
    layers: list[nn.Module] = [flatten]
    width = flatten.features
    for size in description.hidden_sizes:
        layers += [nn.Linear(width, size), ACTIVATIONS[description.activation]()]
        width = size
    return nn.Sequential(*layers), width


def zero_observation(spec: EnvironmentSpec) -> Tree:
    """Return an observation batch of one, all zeros."""
    return optree.tree_map(
        lambda leaf: torch.from_numpy(np.zeros((1, *leaf.shape), leaf.dtype)), spec.observations
    )


class LSTMCore(nn.Module):
    """A memory between features and output (Hochreiter & Schmidhuber 1997).

        output_BH, state = core.step(features_BF, state)                # acting
        output_BLH = core.unroll(features_BLF, first_BL, state)         # learning

    ``unroll`` gives what as many calls of ``step`` would, with `initial_state` put in
    where an episode begins. Since that may be at any time in any row of the batch, it is
    a loop over time, which torch's fused ``nn.LSTM`` (cuDNN) cannot be.

    Args:
        features: F.
        hidden_size: H, of the memory and the output.
    """

    def __init__(self, features: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.cell = nn.LSTMCell(features, hidden_size)
        with torch.no_grad():
            # It begins by keeping what it holds, or it would take long to learn to remember
            # at all (Jozefowicz et al. 2015). The second quarter is the forget gate's.
            self.cell.bias_ih[hidden_size : 2 * hidden_size] += 1.0

    def initial_state(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """Return the state at the beginning of an episode, zeros: output and cell, each [B, H]."""
        zeros = self.cell.bias_hh.new_zeros(batch_size, self.hidden_size)
        return zeros, zeros

    def step(
        self, features_BF: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the output [B, H], and the state after it."""
        output_BH, cell_BH = self.cell(features_BF, state)
        return output_BH, (output_BH, cell_BH)

    def unroll(
        self, features_BLF: Tensor, first_BL: Tensor, state: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Return the outputs [B, L, H], beginning with ``state``.

        Args:
            features_BLF: features of L steps in a row.
            first_BL: bool: the step begins an episode.
            state: before the first step, each [B, H].
        """
        kept_LB1 = (~first_BL).to(features_BLF.dtype).t().unsqueeze(2)
        output_BH, cell_BH = state
        outputs = []
        for features_BF, kept_B1 in zip(features_BLF.unbind(1), kept_LB1, strict=True):
            output_BH, cell_BH = self.cell(features_BF, (output_BH * kept_B1, cell_BH * kept_B1))
            outputs.append(output_BH)
        return torch.stack(outputs, dim=1)
