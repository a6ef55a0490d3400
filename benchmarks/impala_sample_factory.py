"""Sample Factory's APPO, for benchmarks/impala_cartpole.py; runs where sample-factory 2.1.1 is.

Settings are those of its own example for CartPole (sf_examples/train_gym_env.py), with 2
workers of 8 environments, and inference in one process, for a machine of two cores. It does
not evaluate while it trains: it saves its parameters every second, and these are then
evaluated in order, out of the time. It trains until its own figure, the mean return of its
last 100 training episodes, is 475 as well. Prints one JSON object, as its last line.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gymnasium
import numpy as np
import torch
from sample_factory.algo.runners.runner import AlgoObserver, Runner
from sample_factory.algo.utils.action_distributions import argmax_actions
from sample_factory.algo.utils.rl_utils import prepare_and_normalize_obs
from sample_factory.cfg.arguments import parse_full_cfg, parse_sf_args
from sample_factory.envs.env_utils import register_env
from sample_factory.model.actor_critic import create_actor_critic
from sample_factory.model.model_utils import get_rnn_size
from sample_factory.train import make_runner

STARTED = time.time()

SECONDS = {"throughput": 20, "return": 60}
WANTED_RETURN = 475.0
EVALUATION_EPISODES = 10
REPORTED_EPISODES = 100
ARGUMENTS = (
    "--algo=APPO",
    "--env=CartPole-v1",
    "--experiment=cartpole",
    "--device=cpu",
    "--num_workers=2",
    "--num_envs_per_worker=8",
    "--rollout=32",
    "--use_rnn=False",
    "--recurrence=1",
    "--with_vtrace=False",
    "--batch_size=512",
    "--reward_scale=0.1",
    "--keep_checkpoints=1000",
    f"--stats_avg={REPORTED_EPISODES}",
)


class Watch(AlgoObserver):
    """Takes the time from the first update that counted environment steps.

    Args:
        until_reported: whether training ends with the wanted return, of training episodes.
    """

    def __init__(self, until_reported: bool) -> None:
        self._until_reported = until_reported
        self.first: tuple[float, int, int] | None = None
        self.last = (0.0, 0, 0)
        self.lags: list[float] = []
        self.reported: float | None = None

    def on_training_step(self, runner: Runner, training_iteration_since_resume: int) -> None:
        """Note where training is, and tell the runner the time, by which it ends."""
        steps = runner.env_steps.get(0, 0)
        if not steps:
            return
        self.last = (time.time(), steps, training_iteration_since_resume)
        self.first = self.first or self.last
        runner.total_train_seconds = self.last[0] - self.first[0]
        if "version_diff_avg" in runner.policy_lag[0]:
            self.lags.append(runner.policy_lag[0]["version_diff_avg"])
        returns = runner.policy_avg_stats.get("reward", [[]])[0]
        if len(returns) == REPORTED_EPISODES and np.mean(returns) >= WANTED_RETURN:
            self.reported = self.reported or runner.total_train_seconds
            if self._until_reported:
                runner.total_train_seconds = math.inf


def make_cartpole(
    name: str, cfg: Any = None, env_config: Any = None, render_mode: str | None = None
) -> gymnasium.Env[Any, Any]:
    return gymnasium.make(name, render_mode=render_mode)


def first_to_return(
    checkpoints: list[Path], runner: Runner, seed: int, began: float
) -> tuple[int, float] | None:
    """Return the steps and seconds of the first parameters that return 475, of ``checkpoints``."""
    info = runner.env_info
    policy = create_actor_critic(runner.cfg, info.obs_space, info.action_space)
    policy.eval()
    states = torch.zeros(EVALUATION_EPISODES, get_rnn_size(runner.cfg))

    @torch.no_grad()
    def greedy(observations: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        policy(prepare_and_normalize_obs(policy, {"obs": observations}), states)
        actions: np.ndarray[Any, Any] = argmax_actions(policy.action_distribution()).numpy()
        return actions

    for path in sorted(checkpoints):
        checkpoint = torch.load(path, weights_only=False)
        policy.load_state_dict(checkpoint["model"])
        learned = checkpoint["env_steps"] > 0
        if learned and evaluate(greedy, seed + 10_000) >= WANTED_RETURN:
            return checkpoint["env_steps"], path.stat().st_mtime - began
    return None


def evaluate(act: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]], seed: int) -> float:
    environments = [gymnasium.make("CartPole-v1") for _ in range(EVALUATION_EPISODES)]
    observations = np.stack(
        [environment.reset(seed=seed + index)[0] for index, environment in enumerate(environments)]
    )
    going, steps = set(range(EVALUATION_EPISODES)), 0
    while going:
        actions = act(observations)
        for index in tuple(going):
            observation, _, terminated, truncated, _ = environments[index].step(int(actions[index]))
            observations[index] = observation
            steps += 1  # each step's reward is 1
            if terminated or truncated:
                going.remove(index)
    return steps / EVALUATION_EPISODES


def main(seed: int, goal: str) -> None:
    register_env("CartPole-v1", make_cartpole)
    evaluates = goal == "return"
    with TemporaryDirectory() as folder:
        arguments = [
            *ARGUMENTS,
            f"--seed={seed}",
            f"--train_dir={folder}",
            f"--train_for_seconds={SECONDS[goal]}",
            f"--save_every_sec={1 if evaluates else 1_000}",
        ]
        parser, _ = parse_sf_args(argv=arguments)
        _, runner = make_runner(parse_full_cfg(parser, arguments))
        watch = Watch(until_reported=evaluates)
        runner.register_observer(watch)
        runner.init()
        runner.run()
        torch.set_num_threads(1)
        assert watch.first is not None, "nothing was learned"
        began = watch.first[0]
        checkpoints = list(Path(folder).rglob("checkpoint_0*.pth"))
        solved = first_to_return(checkpoints, runner, seed, began) if evaluates else None
    seconds, steps, updates = np.subtract(watch.last, watch.first).tolist()
    print()
    print(
        json.dumps(
            {
                "environmentStepsPerSecond": steps / seconds,
                "updatesPerSecond": updates / seconds,
                "stepsToReturn": solved[0] if solved else None,
                "secondsToReturn": solved[1] if solved else None,
                "secondsToReportedReturn": watch.reported,
                "policyLag": float(np.mean(watch.lags)),
                "startSeconds": began - STARTED,
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[2]), sys.argv[3])
