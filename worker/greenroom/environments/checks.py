"""Whether values fit a space, said so that a person can mend the environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from greenroom.specs import Array, Tree


def misfit(batch: Tree, space: gym.Space[Any], num_envs: int, where: str) -> str | None:
    """Return how a batch of N values breaks their space, or None if it does not.

    Bounds are taken give or take float32's rounding, since many environments compute
    in float64 and clip there.

    Args:
        batch: tree of arrays [N, ...].
        space: of a single value.
        where: how the message calls the value.

    Returns:
        ``rule. Got: value``.
    """
    match space:
        case spaces.Dict() if not _is_dict_of(batch, space):
            return f"{where} must be a dict with the keys {list(space)}. Got: {_outline(batch)}."
        case spaces.Tuple() if not (isinstance(batch, tuple) and len(batch) == len(space)):
            return f"{where} must be a tuple of {len(space)}. Got: {_outline(batch)}."
        case spaces.Dict() | spaces.Tuple():
            found = (
                misfit(batch[key], sub, num_envs, f"{where}[{key!r}]") for key, sub in _items(space)
            )
            return next((message for message in found if message is not None), None)
    return _leaf_misfit(batch, space, num_envs, where)


def single_misfit(value: Any, space: gym.Space[Any], where: str) -> str | None:
    """Return how one value that could not even be batched breaks its space, or None.

    More forgiving than `misfit`: what batching converts without harm (float64 to
    float32, a Python int) is no fault.
    """
    match space:
        case spaces.Dict() if not _is_dict_of(value, space):
            return f"{where} must be a dict with the keys {list(space)}. Got: {_outline(value)}."
        case spaces.Tuple() if not (isinstance(value, tuple | list) and len(value) == len(space)):
            return f"{where} must be a tuple of {len(space)}. Got: {_outline(value)}."
        case spaces.Dict() | spaces.Tuple():
            found = (single_misfit(value[key], s, f"{where}[{key!r}]") for key, s in _items(space))
            return next((message for message in found if message is not None), None)
    try:
        array = np.asarray(value)
    except ValueError:  # a ragged list
        return f"{where} must be an array of shape {space.shape}. Got: {value!r}."
    if array.shape != space.shape:
        return f"{where} must have the shape {space.shape} of its space. Got: {array.shape}."
    if not np.can_cast(array.dtype, space.dtype, "same_kind"):
        return f"{where} must have the dtype {space.dtype} of its space. Got: {array.dtype}."
    return None


def _is_dict_of(value: Any, space: spaces.Dict) -> bool:
    return isinstance(value, Mapping) and value.keys() == space.spaces.keys()


def _items(space: spaces.Dict | spaces.Tuple[Any]) -> Iterator[tuple[Any, gym.Space[Any]]]:
    match space:
        case spaces.Dict():
            yield from space.spaces.items()
        case spaces.Tuple():
            yield from enumerate(space.spaces)


def _leaf_misfit(batch: Any, space: gym.Space[Any], num_envs: int, where: str) -> str | None:
    assert space.shape is not None
    if not isinstance(batch, np.ndarray):
        return f"{where} must be a numpy array. Got: {_outline(batch)}."
    if batch.shape != (num_envs, *space.shape):
        return (
            f"{where} must have the shape {space.shape} of its space for each of {num_envs} "
            f"environments. Got: {batch.shape}."
        )
    if batch.dtype != space.dtype:
        return f"{where} must have the dtype {space.dtype} of its space. Got: {batch.dtype}."
    low, high = _bounds(space)
    # Written so that NaN, which compares false with everything, is outside.
    outside = ~((batch >= low) & (batch <= high))
    if not outside.any():
        return None
    environment, *position = (int(index) for index in np.argwhere(outside)[0])
    at = f"{where}{position}" if position else where
    bound = f"[{_at(low, position)}, {_at(high, position)}]"
    value = batch[(environment, *position)]
    return f"{at} must be within {bound}. Got: {value} in environment {environment}."


def _bounds(space: gym.Space[Any]) -> tuple[Array, Array]:
    """Return the smallest and the largest value, inclusive, as arrays of the space's shape."""
    match space:
        case spaces.Box() if np.issubdtype(space.dtype, np.floating):
            low, high = space.low.astype(np.float64), space.high.astype(np.float64)
            slack = float(np.finfo(np.float32).eps)
            low_slack, high_slack = (slack * np.maximum(1.0, np.abs(side)) for side in (low, high))
            return low - low_slack, high + high_slack
        case spaces.Box():
            return space.low, space.high
        case spaces.Discrete():
            return np.asarray(space.start), np.asarray(space.start + space.n - 1)
        case spaces.MultiDiscrete():
            return space.start, space.start + space.nvec - 1
        case spaces.MultiBinary():
            return np.zeros(space.shape, np.int8), np.ones(space.shape, np.int8)
    raise AssertionError(f"EnvironmentSpec.from_spaces lets no {space} through")


def _at(bound: Array, position: list[int]) -> Any:
    return bound[tuple(position)]


def _outline(value: Any) -> str:
    """Say what a value is, without printing thousands of numbers."""
    match value:
        case np.ndarray():
            return f"an array of shape {value.shape}"
        case Mapping():
            return f"a {type(value).__name__} with the keys {list(value)}"
        case tuple() | list():
            return f"a {type(value).__name__} of {len(value)}"
    return f"{type(value).__name__} {value!r}"
