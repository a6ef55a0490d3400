"""What acting costs: one actor, with adder and replay, beside the bare vector environment.

    .tools/bin/uv run python benchmarks/acting.py

Both step CartPole-v1 with the same 256x256 network in one batched forward pass per
step, on one torch thread. The bare loop takes the greedy action and drops everything;
the actor explores, keeps episodes apart, writes one-step transitions into replay, and
counts. Both use the same autoreset mode: DISABLED with resets of what ended (sync), or
NEXT_STEP (native). The two take turns; medians of environment steps per second, and
their ratio.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import gymnasium
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import nn

from greenroom.acting.actor import Actor
from greenroom.acting.exploration import EpsilonGreedy
from greenroom.acting.policies import ValuePolicy
from greenroom.acting.schedules import LinearSchedule
from greenroom.adders import NStepTransitionAdder
from greenroom.environments import make_environment
from greenroom.randomness import numpy_generator, torch_generator
from greenroom.replay.embedded import EmbeddedReplay
from greenroom.replay.tables import Fifo, RateLimiter, Table, Uniform
from greenroom.variables import LocalVariables
from greenroom_api import Environment as EnvironmentDescription

SECONDS = 1.5
REPETITIONS = 5


def network() -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 2)
    )


def bare(vectorization: str, num_envs: int) -> Callable[[], None]:
    """Return one step of the bare loop."""
    if vectorization == "native":
        environment: VectorEnv = gymnasium.make_vec(  # type: ignore[type-arg]
            "CartPole-v1", num_envs, vectorization_mode="vector_entry_point"
        )
    else:
        environment = gymnasium.make_vec(
            "CartPole-v1",
            num_envs,
            vectorization_mode="sync",
            vector_kwargs={"autoreset_mode": AutoresetMode.DISABLED},
        )
    net = network()
    observation, _ = environment.reset(seed=0)

    def step() -> None:
        nonlocal observation
        with torch.inference_mode():
            action = net(torch.from_numpy(observation)).argmax(dim=1).numpy()
        observation, _, terminated, truncated, _ = environment.step(action)
        ended = terminated | truncated
        if vectorization == "sync" and ended.any():
            observation, _ = environment.reset(options={"reset_mask": ended})

    return step


def actor(vectorization: str, num_envs: int) -> Callable[[], None]:
    """Return one step of an actor."""
    description = EnvironmentDescription.model_validate(
        {"gymnasium": {"id": "CartPole-v1", "vectorization": vectorization}}
    )
    environment = make_environment(description, num_envs=num_envs, seed=0, name="actor-0")
    table = Table(
        name="transitions",
        sampler=Uniform(),
        remover=Fifo(),
        limiter=RateLimiter.min_size_only(1),
        max_size=100_000,
        signature=NStepTransitionAdder.signature(environment.spec),
    )
    replay = EmbeddedReplay([table], numpy_generator(0, "replay"))
    adder = NStepTransitionAdder(
        replay.writer(), environment.spec, num_envs, n_step=1, discount=0.99
    )
    policy = ValuePolicy(network(), EpsilonGreedy(LinearSchedule(0.05, 0.05, 1)))
    acting = Actor(policy, adder, LocalVariables(), torch_generator(0, "actor"), num_envs)
    observation = environment.reset()

    def step() -> None:
        nonlocal observation
        action = acting.select_action(observation)
        outcome = environment.step(action)
        acting.observe(observation, action, outcome)
        observation = outcome.observation

    return step


def steps_per_second(step: Callable[[], None], num_envs: int) -> float:
    began = time.perf_counter()
    count = 0
    while (elapsed := time.perf_counter() - began) < SECONDS:
        step()
        count += num_envs
    return count / elapsed


def main() -> None:
    torch.set_num_threads(1)
    print("| environment | N | actor, steps/s | bare, steps/s | ratio |")
    print("|---|---|---|---|---|")
    for vectorization in ("sync", "native"):
        for num_envs in (1, 8, 64):
            ours, peer = actor(vectorization, num_envs), bare(vectorization, num_envs)
            pairs = [
                (steps_per_second(ours, num_envs), steps_per_second(peer, num_envs))
                for _ in range(REPETITIONS)
            ]
            mine = statistics.median(pair[0] for pair in pairs)
            other = statistics.median(pair[1] for pair in pairs)
            ratio = statistics.median(pair[0] / pair[1] for pair in pairs)
            print(f"| {vectorization} | {num_envs} | {mine:,.0f} | {other:,.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
