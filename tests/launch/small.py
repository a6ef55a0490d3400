"""A small experiment that trains in a second, and what runs leave, for the tests here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import greenroom
from greenroom.export import load_policy
from greenroom.observability.records import WALL_CLOCK_FIELDS, read_metrics
from greenroom_api import RLExperiment, parse_experiment

SPEC: dict[str, Any] = {
    "environment": {"gymnasium": {"id": "CartPole-v1"}},
    "agent": {
        "dqn": {
            "batchSize": 8,
            "targetUpdatePeriod": 20,
            "epsilon": {"decaySteps": 500},
            "network": {"mlp": {"hiddenSizes": [16]}},
        }
    },
    "replay": {"samplesPerInsert": 2, "minSize": 100, "maxSize": 600, "errorBuffer": 40},
    "evaluator": {"episodes": 2, "interval": 500},
    "stop": {"environmentSteps": 1500},
}


def experiment(**changes: Any) -> RLExperiment:
    """The small experiment, with members of its spec replaced."""
    return parse_experiment(
        {
            "apiVersion": "greenroom.dev/v1alpha1",
            "kind": "RLExperiment",
            "metadata": {"name": "small"},
            "spec": SPEC | changes,
        }
    )


def dqn(**changes: Any) -> dict[str, Any]:
    """The small agent, with hyperparameters replaced."""
    return {"dqn": SPEC["agent"]["dqn"] | changes}


def run(directory: Path, changed: RLExperiment, **options: Any) -> greenroom.Result:
    """Run it into ``directory``."""
    return greenroom.run(changed, run_directory=directory, **options)


def rows(directory: Path) -> list[dict[str, Any]]:
    """The metrics of a run, without what differs between equal runs."""
    return [
        {name: value for name, value in row.items() if name not in WALL_CLOCK_FIELDS}
        for row in read_metrics(directory)
    ]


def parameters(directory: Path) -> dict[str, torch.Tensor]:
    """The exported policy's parameters."""
    import safetensors.torch

    assert load_policy(directory)
    return safetensors.torch.load_file(directory / "policy" / "policy.safetensors")


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Whether parameters are bit-for-bit the same."""
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )
