"""Wrappers by name: Gymnasium's own, or the user's as ``module:Class``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import gymnasium as gym
from gymnasium import wrappers as single_wrappers
from gymnasium.vector import VectorEnv
from gymnasium.wrappers import vector as vector_wrappers

from greenroom.errors import ConfigurationError, EnvironmentSetupError
from greenroom.imports import did_you_mean, load_object

_STATISTICS = (
    "it keeps statistics across episodes, which would differ from actor to actor and be missing "
    "from the evaluator, from checkpoints and from the exported policy"
)
_TENSORS = "it hands out tensors, and actors and replay take numpy arrays"

REFUSED: dict[str, str] = {
    "NormalizeObservation": _STATISTICS,
    "NormalizeReward": _STATISTICS,
    "Autoreset": "it hides where episodes end; Greenroom resets environments itself",
    "DictInfoToList": "it changes infos, in which final observations are found",
    "NumpyToTorch": _TENSORS,
    "JaxToTorch": _TENSORS,
}


class WrapperDescription(Protocol):
    """What an experiment says about a wrapper (``spec.environment.wrappers[]``)."""

    @property
    def name(self) -> str: ...
    @property
    def kwargs(self) -> Mapping[str, Any]: ...


def single_wrapper(description: WrapperDescription) -> Callable[[gym.Env[Any, Any]], Any]:
    """Return a function that wraps a single environment.

    Raises:
        EnvironmentSetupError: no such wrapper, or one that is refused. The returned
            function raises it where the wrapper does not accept its arguments.
    """
    wrapper = _find(description.name, single_wrappers)
    return lambda env: _apply(wrapper, env, description, gym.Env)


def vector_wrapper(description: WrapperDescription) -> Callable[[VectorEnv[Any, Any, Any]], Any]:
    """Return a function that wraps a vector environment; as `single_wrapper`."""
    wrapper = _find(description.name, vector_wrappers)
    return lambda env: _apply(wrapper, env, description, VectorEnv)


def _find(name: str, namespace: Any) -> Callable[..., Any]:
    if name in REFUSED:
        raise _refusal(name, name)
    wrapper = _load(name, namespace)
    # A user's subclass of a refused wrapper is one, too.
    for base in getattr(wrapper, "__mro__", ()):
        if base.__name__ in REFUSED and base.__module__.startswith("gymnasium.wrappers"):
            raise _refusal(name, base.__name__)
    return wrapper


def _load(name: str, namespace: Any) -> Callable[..., Any]:
    if ":" in name:
        try:
            wrapper: Callable[..., Any] = load_object(name, "wrapper")
        except ConfigurationError as error:
            raise EnvironmentSetupError(str(error)) from error
        return wrapper
    names = _names(namespace)
    if name in names:
        found: Callable[..., Any] = getattr(namespace, name)
        return found
    if name in _names(single_wrappers):
        raise EnvironmentSetupError(
            "A wrapper of an environment that is vectorized already (vectorization: native, or a "
            "factory with num_envs) must exist in gymnasium.wrappers.vector. "
            f"Got: {name}, which wraps single environments only."
        )
    raise EnvironmentSetupError(
        "A wrapper must be one of Gymnasium's, or 'module:Class' of your own. "
        f"Got: {name!r}{did_you_mean(name, names)}."
    )


def _names(namespace: Any) -> list[str]:
    # `vector` is a module there.
    return [name for name in namespace.__all__ if name != "vector" and name not in REFUSED]


def _refusal(name: str, refused: str) -> EnvironmentSetupError:
    reason = REFUSED[refused]
    return EnvironmentSetupError(f"A wrapper must not be {refused}: {reason}. Got: {name}.")


def _apply(
    wrapper: Callable[..., Any], env: Any, description: WrapperDescription, kind: type[Any]
) -> Any:
    try:
        wrapped = wrapper(env, **description.kwargs)
    except Exception as error:
        raise EnvironmentSetupError(
            f"The wrapper {description.name} must accept its environment and arguments. "
            f"Got: kwargs {dict(description.kwargs)}, {type(error).__name__}: {error}"
        ) from error
    if not isinstance(wrapped, kind):
        raise EnvironmentSetupError(
            f"The wrapper {description.name} must return a gymnasium {kind.__name__}. "
            f"Got: {type(wrapped).__name__}."
        )
    return wrapped
