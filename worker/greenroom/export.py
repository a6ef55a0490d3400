"""Exported policies: what a run leaves for use, rebuilt without the run or its environment.

A folder of two files: ``policy.json`` (agent, spaces, versions) and
``policy.safetensors`` (the network's parameters)::

    policy = load_policy("runs/cartpole-20260101-120000/policy")
    action = policy(observation)
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import optree
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from greenroom.acting.actor import to_arrays, to_tensors
from greenroom.agents import make_builder
from greenroom.core import Policy
from greenroom.errors import CheckpointError
from greenroom.randomness import torch_generator
from greenroom.spaces import EnvironmentSpec, space_from_json, space_to_json
from greenroom.specs import Array, ArraySpec, Tree
from greenroom_api import Agent

DESCRIPTION = "policy.json"
PARAMETERS = "policy.safetensors"
FORMAT = 1


def export_policy(
    directory: Path, agent: Agent, spec: EnvironmentSpec, variables: Mapping[str, Tensor]
) -> None:
    """Write a policy; each file is replaced as a whole.

    Raises:
        CheckpointError: it could not be written.
    """
    description = {
        "format": FORMAT,
        "agent": agent.model_dump(mode="json", by_alias=True, exclude_none=True),
        "observationSpace": space_to_json(spec.observation_space),
        "actionSpace": space_to_json(spec.action_space),
        "versions": {name: version(name) for name in ("greenroom", "torch", "gymnasium")},
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in variables.items()}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _replace(directory / PARAMETERS, safetensors.torch.save(tensors))
        _replace(directory / DESCRIPTION, (json.dumps(description, indent=2) + "\n").encode())
    except OSError as error:
        raise CheckpointError(
            f"The policy must fit on the disk of {directory}. Got: {error.strerror}."
        ) from error


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


class LoadedPolicy:
    """An exported policy, at its best (no exploration).

        policy = load_policy("policy")
        action = policy(observation)                  # of one environment
        actions = policy.act(observations)            # of N, leaves [N, ...]

    A recurrent policy remembers between calls; `reset` begins a new episode.

    Attributes:
        spec: the spaces that it was trained on.
        policy: the `Policy` itself.
    """

    def __init__(self, policy: Policy, spec: EnvironmentSpec) -> None:
        self.policy = policy
        self.spec = spec
        self._generator = torch_generator(0, "policy")
        self._state: Tree = None

    def reset(self) -> None:
        """Forget what a recurrent policy remembers."""
        self._state = None

    def __call__(self, observation: Tree) -> Tree:
        """Return the action of one observation, as the environment's ``step`` takes it."""
        batch = optree.tree_map(_as_batch, self.spec.observations, observation)
        return optree.tree_map(lambda leaf: leaf[0], self.act(batch))

    @torch.inference_mode()
    def act(self, observations: Tree) -> Tree:
        """Return actions [N, ...] of observations [N, ...]."""
        if self._state is None:
            num_envs = len(optree.tree_leaves(observations)[0])
            self._state = self.policy.initial_state(num_envs)
        action, self._state, _ = self.policy(
            to_tensors(observations), self._state, self._generator, 0
        )
        return to_arrays(action)


def load_policy(path: str | os.PathLike[str]) -> LoadedPolicy:
    """Load an exported policy, or that of a run directory.

    Raises:
        CheckpointError: there is none, or it is damaged.
        ConfigurationError: a custom agent's code cannot be imported here.
    """
    directory = Path(path)
    if not (directory / DESCRIPTION).exists() and (directory / "policy" / DESCRIPTION).exists():
        directory = directory / "policy"
    description, variables = _read(directory)
    try:
        spec = EnvironmentSpec.from_spaces(
            space_from_json(description["observationSpace"]),
            space_from_json(description["actionSpace"]),
        )
        agent = Agent.model_validate(description["agent"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{directory / DESCRIPTION} must describe an agent and its spaces. Got: {error!r}"
        ) from error
    builder = make_builder(agent, spec)
    policy = builder.make_policy(builder.make_network(), evaluation=True)
    try:
        policy.load_variables(variables)
    except ValueError as error:
        raise CheckpointError(
            f"{directory / PARAMETERS} must fit its agent. Got: {error}"
        ) from error
    return LoadedPolicy(policy, spec)


def _as_batch(spec: ArraySpec, value: Any) -> Array:
    """Return one observation's leaf as a batch of one."""
    array = np.asarray(value, spec.dtype)
    if array.shape != spec.shape:
        raise ValueError(f"An observation must have shape {spec.shape}. Got: {array.shape}.")
    return array[None]


def _read(directory: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        description: dict[str, Any] = json.loads((directory / DESCRIPTION).read_text())
        variables = safetensors.torch.load_file(directory / PARAMETERS)
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(
            f"A policy is a folder with {DESCRIPTION} and {PARAMETERS}, as a run's policy/ is. "
            f"Got: {directory}: {error}"
        ) from error
    form = description.get("format") if isinstance(description, dict) else None
    if form != FORMAT:
        raise CheckpointError(
            f"{directory / DESCRIPTION} must have format {FORMAT}. Got: {form!r}."
        )
    return description, variables
