"""What an environment's data looks like: specs, read from Gymnasium spaces.

>>> spec = EnvironmentSpec.from_spaces(spaces.Box(-1, 1, (4,)), spaces.Discrete(2))
>>> spec.observations
ArraySpec(shape=(4,), dtype=dtype('float32'))
>>> spec.actions
ArraySpec(shape=(), dtype=dtype('int64'))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from greenroom.errors import EnvironmentSetupError
from greenroom.specs import Array, ArraySpec, Tree


@dataclass(frozen=True)
class EnvironmentSpec:
    """What one environment (not the batch of N) takes and gives.

    Attributes:
        observation_space, action_space: Gymnasium's own, of a single environment.
        observations, actions: trees of `ArraySpec` of the same structure.
    """

    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]
    observations: Tree
    actions: Tree

    @classmethod
    def from_spaces(
        cls, observation_space: gym.Space[Any], action_space: gym.Space[Any]
    ) -> EnvironmentSpec:
        """Read the specs from spaces.

        Raises:
            EnvironmentSetupError: for a space other than Box, Discrete,
                MultiDiscrete, MultiBinary and nested Dict and Tuple of them.
        """
        return cls(
            observation_space,
            action_space,
            array_specs(observation_space, "observation space"),
            array_specs(action_space, "action space"),
        )


def array_specs(space: gym.Space[Any], where: str = "space") -> Tree:
    """Return the tree of `ArraySpec` of a space; ``where`` is named in the error."""
    match space:
        case spaces.Dict():
            return {key: array_specs(sub, f"{where}[{key!r}]") for key, sub in space.spaces.items()}
        case spaces.Tuple():
            return tuple(
                array_specs(sub, f"{where}[{index}]") for index, sub in enumerate(space.spaces)
            )
        case spaces.Box() | spaces.MultiDiscrete() | spaces.MultiBinary() | spaces.Discrete():
            assert space.shape is not None
            assert space.dtype is not None
            return ArraySpec(tuple(space.shape), np.dtype(space.dtype))
    raise _unsupported(space, where)


def _unsupported(space: gym.Space[Any], where: str) -> EnvironmentSetupError:
    return EnvironmentSetupError(
        "A space must be Box, Discrete, MultiDiscrete, MultiBinary, or a Dict or Tuple of "
        f"them. Got: {where} {space}."
    )


# --- spaces as JSON, to rebuild a policy without its environment -----------------------------


def space_to_json(space: gym.Space[Any]) -> dict[str, Any]:
    """Return the space as plain JSON values, from which `space_from_json` makes an equal one.

    Bounds are exact; infinities are the strings "inf" and "-inf", which strict JSON
    has no number for. An array whose values are all equal is stored as that value.

    >>> space_to_json(spaces.Discrete(2))
    {'type': 'Discrete', 'dtype': 'int64', 'n': 2, 'start': 0}

    Raises:
        EnvironmentSetupError: for a space that `array_specs` refuses.
    """
    match space:
        case spaces.Dict():
            pairs = [[key, space_to_json(sub)] for key, sub in space.spaces.items()]
            return {"type": "Dict", "spaces": pairs, "sort_keys": space.sort_keys}
        case spaces.Tuple():
            return {"type": "Tuple", "spaces": [space_to_json(sub) for sub in space.spaces]}
        case spaces.MultiBinary():
            return {
                "type": "MultiBinary",
                "n": space.n if isinstance(space.n, int) else list(space.n),
            }
        case spaces.Discrete():
            return {
                "type": "Discrete",
                "dtype": str(space.dtype),
                "n": int(space.n),
                "start": int(space.start),
            }
        case spaces.MultiDiscrete():
            return {
                "type": "MultiDiscrete",
                "dtype": str(space.dtype),
                "shape": list(space.shape),
                "nvec": _array_to_json(space.nvec),
                "start": _array_to_json(space.start),
            }
        case spaces.Box():
            return {
                "type": "Box",
                "dtype": str(space.dtype),
                "shape": list(space.shape),
                "low": _array_to_json(space.low),
                "high": _array_to_json(space.high),
                # Integers have no infinity: "unbounded" stands beside their smallest and largest.
                "bounded_below": _array_to_json(space.bounded_below),
                "bounded_above": _array_to_json(space.bounded_above),
            }
    raise _unsupported(space, "space")


def space_from_json(description: dict[str, Any]) -> gym.Space[Any]:
    """Return the space that `space_to_json` described.

    Raises:
        EnvironmentSetupError: the description is of no supported space.
    """
    match description["type"]:
        case "Dict":
            # A sequence of pairs, not a mapping: Gymnasium would sort the latter's keys.
            pairs = [(key, space_from_json(sub)) for key, sub in description["spaces"]]
            return spaces.Dict(pairs, sort_keys=description["sort_keys"])
        case "Tuple":
            return spaces.Tuple([space_from_json(sub) for sub in description["spaces"]])
        case "MultiBinary":
            return spaces.MultiBinary(description["n"])
        case "Discrete":
            return spaces.Discrete(
                description["n"],
                start=description["start"],
                dtype=np.dtype(description["dtype"]).type,
            )
        case "MultiDiscrete":
            dtype, shape = np.dtype(description["dtype"]), description["shape"]
            nvec = _array_from_json(description["nvec"], shape, dtype)
            start = _array_from_json(description["start"], shape, dtype)
            return spaces.MultiDiscrete(nvec, dtype=dtype.type, start=start)
        case "Box":
            dtype, shape = np.dtype(description["dtype"]), description["shape"]
            low = _array_from_json(description["low"], shape, dtype)
            high = _array_from_json(description["high"], shape, dtype)
            box = spaces.Box(low, high, dtype=dtype.type)
            below, above = description["bounded_below"], description["bounded_above"]
            box.bounded_below = _array_from_json(below, shape, np.dtype(bool))
            box.bounded_above = _array_from_json(above, shape, np.dtype(bool))
            return box
    raise EnvironmentSetupError(
        "A described space must be Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple. "
        f"Got: {description['type']!r}."
    )


def _array_to_json(array: Array) -> Any:
    """Return the values in row-major order, or the one value that they all have."""
    values = [
        str(value) if isinstance(value, float) and not np.isfinite(value) else value
        for value in array.ravel().tolist()
    ]
    return values[0] if values and values.count(values[0]) == len(values) else values


def _array_from_json(values: Any, shape: list[int], dtype: np.dtype[Any]) -> Array:
    if isinstance(values, list):
        # float() also reads "inf"; integers stay Python's, which are exact at any size.
        kept = [float(value) if isinstance(value, str) else value for value in values]
        return np.array(kept, dtype=dtype).reshape(shape)
    return np.full(shape, float(values) if isinstance(values, str) else values, dtype=dtype)
