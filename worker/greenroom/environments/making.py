"""Making environments from what an experiment says about them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import gymnasium as gym
from gymnasium.error import DependencyNotInstalled, DeprecatedEnv, UnregisteredEnv
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from greenroom.environments.environment import Environment
from greenroom.environments.wrappers import WrapperDescription, single_wrapper, vector_wrapper
from greenroom.errors import ConfigurationError, EnvironmentSetupError, GreenroomError
from greenroom.imports import did_you_mean, import_module, load_object

# Environments that we vectorize are reset by us. `Environment` copies what it keeps, so
# SyncVectorEnv need not (its way, deepcopy, is the slower one).
VECTOR_KWARGS: dict[str, Any] = {"autoreset_mode": AutoresetMode.DISABLED, "copy": False}


class GymnasiumDescription(Protocol):
    """An environment that is registered with Gymnasium (``spec.environment.gymnasium``).

    ``vectorization`` is ``sync`` (N copies, one after the other) or ``native`` (the
    environment's own vector form).
    """

    @property
    def id(self) -> str: ...
    @property
    def kwargs(self) -> Mapping[str, Any]: ...
    @property
    def vectorization(self) -> str: ...


class EnvironmentDescription(Protocol):
    """What an experiment says about its environment (``spec.environment``)."""

    @property
    def gymnasium(self) -> GymnasiumDescription | None: ...
    @property
    def factory(self) -> str | None: ...
    @property
    def wrappers(self) -> Sequence[WrapperDescription]: ...


def make_environment(
    description: EnvironmentDescription,
    *,
    num_envs: int,
    seed: int,
    name: str,
    render_mode: str | None = None,
) -> Environment:
    """Make N environments that step together.

    A factory is called without arguments and returns a `gymnasium.Env`, N times; or it
    has a parameter ``num_envs``, is called once with it, and returns a `VectorEnv`.

    Args:
        description: what the experiment says.
        num_envs: N.
        seed: the experiment's.
        name: of the part that steps them; seeds are derived from it.
        render_mode: Gymnasium's, such as ``rgb_array``.

    Raises:
        EnvironmentSetupError: no such environment or wrapper, one that raises while it
            is made, an unsupported space, or a render mode that it does not have.
    """
    if description.gymnasium is not None:
        make = _registered
    elif description.factory is not None:
        make = _from_factory
    else:
        raise EnvironmentSetupError(
            "An environment must be given as gymnasium or factory. Got: neither."
        )
    vector_env = make(description, num_envs, render_mode)
    try:
        if render_mode is not None and vector_env.render_mode != render_mode:
            raise EnvironmentSetupError(
                "To be shown, an environment must support the render mode (a factory takes it as "
                f"its parameter render_mode). Got: {vector_env} with render_mode="
                f"{vector_env.render_mode!r} instead of {render_mode!r}."
            )
        return Environment(vector_env, seed=seed, name=name)
    except GreenroomError:
        vector_env.close()
        raise


def _registered(
    description: EnvironmentDescription, num_envs: int, render_mode: str | None
) -> VectorEnv[Any, Any, Any]:
    """Make a registered environment."""
    chosen = description.gymnasium
    assert chosen is not None
    module, colon, _ = chosen.id.partition(":")
    try:
        if colon:
            import_module(module, "environment's module (spec.environment.gymnasium.id)")
        return _make_vec(chosen, description.wrappers, num_envs, render_mode)
    except EnvironmentSetupError:
        raise
    except ConfigurationError as error:
        raise EnvironmentSetupError(str(error)) from error
    except (UnregisteredEnv, DeprecatedEnv) as error:
        raise EnvironmentSetupError(
            "spec.environment.gymnasium.id must be registered with Gymnasium; one of another "
            "package is written 'module:Id', so that the module is imported. "
            f"Got: {chosen.id!r}{did_you_mean(chosen.id, gym.registry)}."
        ) from error
    except DependencyNotInstalled as error:
        raise EnvironmentSetupError(
            f"{chosen.id} needs a package that must be installed first. Got: {error}"
        ) from error
    except Exception as error:
        raise EnvironmentSetupError(
            f"{chosen.id} must accept its arguments and be made without an error. "
            f"Got: kwargs {dict(chosen.kwargs)}, {type(error).__name__}: {error}"
        ) from error


def _make_vec(
    chosen: GymnasiumDescription,
    wrappers: Sequence[WrapperDescription],
    num_envs: int,
    render_mode: str | None,
) -> VectorEnv[Any, Any, Any]:
    kwargs = dict(chosen.kwargs)
    if render_mode is not None:
        kwargs["render_mode"] = render_mode
    if chosen.vectorization == "sync":
        return gym.make_vec(
            chosen.id,
            num_envs=num_envs,
            vectorization_mode="sync",
            vector_kwargs=VECTOR_KWARGS,
            wrappers=[single_wrapper(wrapper) for wrapper in wrappers],
            **kwargs,
        )
    registered = gym.registry.get(chosen.id.rpartition(":")[2])
    if registered is not None and registered.vector_entry_point is None:
        raise EnvironmentSetupError(
            "spec.environment.gymnasium.vectorization may be 'native' only where the environment "
            f"has a vector form of its own. Got: {chosen.id}, which has none; use 'sync'."
        )
    vector_env = gym.make_vec(
        chosen.id, num_envs=num_envs, vectorization_mode="vector_entry_point", **kwargs
    )
    return _wrapped(vector_env, wrappers)


def _from_factory(
    description: EnvironmentDescription, num_envs: int, render_mode: str | None
) -> VectorEnv[Any, Any, Any]:
    """Make an environment with the user's factory."""
    reference = description.factory
    assert reference is not None
    try:
        factory = load_object(reference, "environment's factory (spec.environment.factory)")
    except ConfigurationError as error:
        raise EnvironmentSetupError(str(error)) from error
    if not callable(factory):
        raise EnvironmentSetupError(
            "spec.environment.factory must name something that can be called. "
            f"Got: {reference!r}, of type {type(factory).__name__}."
        )
    parameters = _parameters(factory)
    kwargs: dict[str, Any] = {}
    if render_mode is not None and "render_mode" in parameters:
        kwargs["render_mode"] = render_mode
    if "num_envs" not in parameters:
        return _vectorized(reference, lambda: factory(**kwargs), description.wrappers, num_envs)
    vector_env = _called(reference, lambda: factory(num_envs=num_envs, **kwargs), VectorEnv)
    if vector_env.num_envs != num_envs:
        raise EnvironmentSetupError(
            f"The factory {reference} must return as many environments as it is asked for: "
            f"{num_envs}. Got: {vector_env.num_envs}."
        )
    return _wrapped(vector_env, description.wrappers)


def _vectorized(
    reference: str,
    factory: Callable[[], Any],
    wrappers: Sequence[WrapperDescription],
    num_envs: int,
) -> VectorEnv[Any, Any, Any]:
    """Make N environments and step them one after the other."""
    wrap = [single_wrapper(wrapper) for wrapper in wrappers]
    made: list[gym.Env[Any, Any]] = []

    def make() -> gym.Env[Any, Any]:
        env: gym.Env[Any, Any] = _called(reference, factory, gym.Env)
        if any(env is other for other in made):
            raise EnvironmentSetupError(
                f"The factory {reference} must return a new environment with each call. "
                "Got: the same object twice."
            )
        made.append(env)
        for wrapper in wrap:
            env = wrapper(env)
        return env

    try:
        return SyncVectorEnv([make] * num_envs, **VECTOR_KWARGS)
    except GreenroomError:
        raise
    except Exception as error:
        raise EnvironmentSetupError(
            f"The environments that the factory {reference} returns must be whole gymnasium.Envs "
            f"with equal spaces. Got: {type(error).__name__}: {error}"
        ) from error


def _called(reference: str, factory: Callable[[], Any], kind: type[Any]) -> Any:
    """Call the user's factory and return what it made, which must be a ``kind``."""
    try:
        made = factory()
    except Exception as error:
        raise EnvironmentSetupError(
            f"The factory {reference} must return an environment; it is called without arguments, "
            f"or with num_envs where it has that parameter. Got: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(made, kind):
        raise EnvironmentSetupError(
            f"The factory {reference} must return a gymnasium.Env, or a gymnasium.vector.VectorEnv "
            f"if it has a parameter num_envs. Got: {type(made).__module__}.{type(made).__name__} "
            f"where {kind.__name__} was expected."
        )
    return made


def _parameters(factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(factory).parameters
    except ValueError:  # written in C: nothing can be known about it
        return {}


def _wrapped(
    vector_env: VectorEnv[Any, Any, Any], wrappers: Sequence[WrapperDescription]
) -> VectorEnv[Any, Any, Any]:
    try:
        for wrapper in wrappers:
            vector_env = vector_wrapper(wrapper)(vector_env)
    except GreenroomError:
        vector_env.close()
        raise
    return vector_env
