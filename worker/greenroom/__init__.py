"""Greenroom: reinforcement-learning training that runs the same in one process and in pods.

    import greenroom

    experiment = greenroom.load_experiment("examples/cartpole-dqn.yaml")
    result = greenroom.run(experiment)
    policy = greenroom.load_policy(result.run_directory)

`greenroom.core` shows how the parts work together.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greenroom.export import LoadedPolicy, load_policy
    from greenroom.launch.run import Launch, run
    from greenroom.training.results import Result
    from greenroom_api import load_experiment

__version__ = version("greenroom")

_HOMES = {
    "Launch": "greenroom.launch.run",
    "LoadedPolicy": "greenroom.export",
    "Result": "greenroom.training.results",
    "load_experiment": "greenroom_api",
    "load_policy": "greenroom.export",
    "run": "greenroom.launch.run",
}

__all__ = [
    "Launch",
    "LoadedPolicy",
    "Result",
    "__version__",
    "load_experiment",
    "load_policy",
    "run",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: torch alone takes over a second."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
