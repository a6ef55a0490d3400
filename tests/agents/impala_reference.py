"""A small agent, batches for it, and its loss computed slowly, one record at a time."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from greenroom.agents.impala.networks import ActorCriticNetwork
from greenroom.core import Batch
from greenroom.spaces import EnvironmentSpec
from greenroom_api import IMPALA

SPEC = EnvironmentSpec.from_spaces(gym.spaces.Box(-1, 1, (2,), np.float32), gym.spaces.Discrete(3))


def config(**changes: Any) -> IMPALA:
    """A small agent with a memory, unless told otherwise."""
    return IMPALA.model_validate(
        {
            "batchSize": 4,
            "unrollLength": 5,
            "network": {"mlp": {"hiddenSizes": [8], "activation": "tanh"}},
            "lstm": {"hiddenSize": 6},
        }
        | changes
    )


def random_batch(hyperparameters: IMPALA, seed: int = 0) -> Batch:
    """Two unrolls in which episodes end, one cut and one terminated."""
    generator = torch.Generator().manual_seed(seed)
    length, rows = hyperparameters.unroll_length + 1, 2
    mask = torch.ones(rows, length)
    mask[0, 3] = mask[1, 2] = 0.0
    terminated = torch.zeros(rows, length, dtype=torch.bool)
    terminated[0, 2] = True
    first = torch.zeros(rows, length, dtype=torch.bool)
    first[0, 4] = first[1, 3] = True
    data = {
        "observation": torch.randn(rows, length, 2, generator=generator),
        "action": torch.randint(3, (rows, length), generator=generator) * mask.long(),
        "reward": 3 * torch.randn(rows, length, generator=generator) * mask,
        "terminated": terminated,
        "truncated": torch.zeros(rows, length, dtype=torch.bool),
        "first": first,
        "mask": mask,
        "extras": {
            "log_probability": -2 * torch.rand(rows, length, generator=generator) * mask,
            "learner_steps": torch.zeros(rows, length, dtype=torch.int64),
        },
    }
    if hyperparameters.lstm is not None:
        shape = (rows, hyperparameters.lstm.hidden_size)
        memory = [torch.randn(shape, generator=generator) for _ in range(2)]
        data["start"] = {"state": tuple(memory)}
    return Batch(data, np.zeros(rows, np.uint64), torch.ones(rows), torch.ones(rows))


def slow_forward(
    network: ActorCriticNetwork, batch: Batch
) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
    """Log-probabilities of all actions, and values, one record at a time."""
    log_policies, values = [], []
    for row, observations in enumerate(batch.data["observation"].double()):
        state: Any = ()
        if network.core is not None:
            state = tuple(leaf[row : row + 1].double() for leaf in batch.data["start"]["state"])
        log_policies.append([])
        values.append([])
        for t, observation in enumerate(observations):
            output = network.torso(observation[None])
            if network.core is not None:
                if batch.data["first"][row, t]:
                    state = network.core.initial_state(1)
                output, state = network.core.step(output, state)
            log_policies[-1].append(torch.log_softmax(network.policy(output)[0], dim=0))
            values[-1].append(network.value(output)[0, 0])
    return log_policies, values


def slow_loss(
    network: ActorCriticNetwork, hyperparameters: IMPALA, batch: Batch, fixed: ActorCriticNetwork
) -> float:
    """The loss; targets and advantages are those of the parameters ``fixed``."""
    data = batch.data
    log_policies, values = slow_forward(network, batch)
    fixed_policies, fixed_values = slow_forward(fixed, batch)
    losses = []
    for row in range(len(values)):
        target_next = fixed_values[row][-1]
        correction = torch.zeros(())
        for t in reversed(range(len(values[row]) - 1)):
            if data["mask"][row, t] == 0:
                target_next = fixed_values[row][t]
                continue
            action = data["action"][row, t]
            behaviour = data["extras"]["log_probability"][row, t].double()
            ratio = (fixed_policies[row][t][action] - behaviour).exp()
            rho = min(ratio, hyperparameters.rho_clip)
            c = min(ratio, hyperparameters.c_clip)
            discount = 0.0 if data["terminated"][row, t] else hyperparameters.discount
            value, following = fixed_values[row][t], fixed_values[row][t + 1]
            reward = data["reward"][row, t].double()
            if hyperparameters.max_abs_reward is not None:
                bound = hyperparameters.max_abs_reward
                reward = min(max(float(reward), -bound), bound)
            advantage = rho * (reward + discount * target_next - value)
            correction = rho * (reward + discount * following - value) + discount * c * (
                target_next - following
            )
            target = value + correction
            log_policy = log_policies[row][t]
            losses.append(
                -advantage * log_policy[action]
                + hyperparameters.value_cost * 0.5 * (target - values[row][t]) ** 2
                + hyperparameters.entropy_cost * (log_policy.exp() * log_policy).sum()
            )
            target_next = target
    return float(torch.stack(losses).mean())
