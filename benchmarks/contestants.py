"""What benchmarks/dqn_cartpole.py compares; each contestant runs in a process of its own.

All use rl-zoo's CartPole settings, one torch thread each, and print one JSON object.
Evaluation (10 greedy episodes every 2,000 steps) is left out of the times.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

STARTED = time.perf_counter()

STEPS = 50_000
EVALUATION_PERIOD = 2_000
EVALUATION_EPISODES = 10
WANTED_RETURN = 475.0
EXAMPLE = Path(__file__).parents[1] / "examples" / "cartpole-dqn.yaml"


def report(
    environment_steps: int,
    learner_steps: int,
    seconds: float,
    solved: tuple[int, float] | None,
    imported: float,
    first_step: float,
    children: bool = False,
    family: float = 0.0,
) -> None:
    # A child's figure begins with what its parent had when it was started: it counts only
    # where there is one that acts.
    processes = [resource.RUSAGE_SELF] + [resource.RUSAGE_CHILDREN] * children
    print(
        json.dumps(
            {
                "environmentStepsPerSecond": environment_steps / seconds,
                "updatesPerSecond": learner_steps / seconds,
                "stepsToReturn": solved[0] if solved else None,
                "secondsToReturn": solved[1] if solved else None,
                "peakMiB": family
                + sum(resource.getrusage(who).ru_maxrss / 1024 for who in processes),
                "importSeconds": imported - STARTED,
                "firstStepSeconds": first_step - STARTED,
            }
        )
    )


def greenroom(seed: int, launch: str) -> None:
    import greenroom

    display = _Stopwatch()
    experiment = greenroom.load_experiment(
        EXAMPLE,
        [
            f"spec.stop.environmentSteps={STEPS}",
            f"spec.evaluator.interval={EVALUATION_PERIOD}",
            f"spec.evaluator.episodes={EVALUATION_EPISODES}",
            "spec.learner.device=cpu",
        ],
        seed=seed,
    )
    import greenroom.launch.local  # torch and the rest

    run = greenroom.run
    imported = time.perf_counter()
    with TemporaryDirectory() as folder:
        result = run(experiment, run_directory=Path(folder) / "run", launch=launch, display=display)
    seconds = display.ended - display.began - display.evaluating
    won = result.reason == "EpisodeReturnReached"
    report(
        result.environment_steps,
        result.learner_steps,
        seconds,
        (result.environment_steps, seconds) if won else None,
        imported,
        display.began,
        children=launch == "overlapped",
    )


def greenroom_processes(seed: int) -> None:
    """Everything in processes of their own, over Reverb; timed while learning goes on.

    Starting five processes takes seconds, and ends with training under way: so the time is
    the learner's own, from its first row of metrics after learning began to its last.
    """
    import greenroom
    from greenroom.observability.records import read_metrics

    display = _FamilyMemory()
    overrides = [
        f"spec.stop.environmentSteps={STEPS}",
        f"spec.evaluator.interval={EVALUATION_PERIOD}",
        f"spec.evaluator.episodes={EVALUATION_EPISODES}",
        "spec.learner.device=cpu",
    ]
    experiment = greenroom.load_experiment(EXAMPLE, overrides, seed=seed)
    run = greenroom.run
    imported = time.perf_counter()
    with TemporaryDirectory() as folder:
        directory = Path(folder) / "run"
        result = run(experiment, run_directory=directory, launch="processes", display=display)
        rows = read_metrics(directory)
    first = next(row for row in rows if row["learnerSteps"])
    last = rows[-1]
    seconds = last["wallSeconds"] - first["wallSeconds"]
    won = result.reason == "EpisodeReturnReached"
    report(
        last["environmentSteps"] - first["environmentSteps"],
        last["learnerSteps"] - first["learnerSteps"],
        seconds,
        (result.environment_steps, seconds) if won else None,
        imported,
        display.first_step,
        family=display.peak_mib(),
    )


class _Stopwatch:
    """A display that shows nothing: it takes the time, and that of evaluations apart."""

    def __init__(self) -> None:
        self.began = self.ended = 0.0
        self.evaluating = 0.0
        self._since: float | None = None

    def start(self, header: Any) -> None:
        self.began = time.perf_counter()

    def update(self, progress: Any) -> None:
        now = time.perf_counter()
        if self._since is not None:
            self.evaluating += now - self._since
        self._since = now if progress.state == "Evaluating" else None

    def event(self, message: str, level: str = "info") -> None: ...

    def finish(self, summary: Any) -> None:
        self.ended = time.perf_counter()

    def close(self) -> None: ...


class _FamilyMemory(_Stopwatch):
    """Adds up the peak memory of this process's children, as the system keeps it for each."""

    def __init__(self) -> None:
        super().__init__()
        self.first_step = 0.0
        self._peaks: dict[str, float] = {}

    def update(self, progress: Any) -> None:
        if not self.first_step and progress.environment_steps:
            self.first_step = time.perf_counter()
        for pid in (
            Path("/proc/self/task").joinpath(str(os.getpid()), "children").read_text().split()
        ):
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith("VmHWM:"):
                        self._peaks[pid] = int(line.split()[1]) / 1024

    def peak_mib(self) -> float:
        return sum(self._peaks.values())


def stable_baselines3(seed: int) -> None:
    # TensorFlow is here for Reverb; TensorBoard would import it, which is not this peer's fault.
    sys.modules["tensorflow"] = None  # type: ignore[assignment]
    import gymnasium
    import torch
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.monitor import Monitor

    imported = time.perf_counter()
    torch.set_num_threads(1)
    evaluation_env = Monitor(gymnasium.make("CartPole-v1"))
    evaluation_env.reset(seed=seed + 10_000)

    class Evaluation(BaseCallback):  # type: ignore[misc]
        evaluating = 0.0
        solved: tuple[int, float] | None = None

        def _on_training_start(self) -> None:
            self.began = time.perf_counter()

        def _on_step(self) -> bool:
            if self.num_timesteps % EVALUATION_PERIOD:
                return True
            began = time.perf_counter()
            mean, _ = evaluate_policy(
                self.model, evaluation_env, EVALUATION_EPISODES, deterministic=True
            )
            self.evaluating += time.perf_counter() - began
            if mean >= WANTED_RETURN:
                self.solved = (self.num_timesteps, began - self.began)
            return self.solved is None

    model = DQN(
        "MlpPolicy",
        gymnasium.make("CartPole-v1"),
        learning_rate=2.3e-3,
        batch_size=64,
        buffer_size=100_000,
        learning_starts=1_000,
        gamma=0.99,
        target_update_interval=10,
        train_freq=256,
        gradient_steps=128,
        exploration_fraction=0.16,
        exploration_final_eps=0.04,
        policy_kwargs={"net_arch": [256, 256]},
        seed=seed,
        device="cpu",
    )
    callback = Evaluation()
    model.learn(STEPS, callback=callback)
    seconds = time.perf_counter() - callback.began - callback.evaluating
    solved = callback.solved and (callback.solved[0], seconds)
    report(model.num_timesteps, model._n_updates, seconds, solved, imported, callback.began)


def bare_loop(seed: int) -> None:
    """The ceiling: acting, a ring buffer, sampling and updates, with nothing around them."""
    import gymnasium
    import numpy as np
    import torch
    from torch import nn

    imported = time.perf_counter()
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = nn.Sequential(
        nn.Linear(4, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 2)
    )
    target = copy.deepcopy(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=2.3e-3, fused=True)
    observations = np.zeros((100_000, 4), np.float32)
    following = np.zeros((100_000, 4), np.float32)
    actions = np.zeros(100_000, np.int64)
    rewards = np.zeros(100_000, np.float32)
    discounts = np.zeros(100_000, np.float32)

    def update(size: int) -> None:
        rows = rng.integers(0, size, 64)
        observation, action, reward, discount, next_observation = (
            torch.from_numpy(column[rows])
            for column in (observations, actions, rewards, discounts, following)
        )
        with torch.no_grad():
            wanted = reward + discount * target(next_observation).amax(1)
        predicted = network(observation).gather(1, action[:, None])[:, 0]
        loss = nn.functional.smooth_l1_loss(predicted, wanted)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()

    environment = gymnasium.make("CartPole-v1")
    observation, _ = environment.reset(seed=seed)
    first_step = time.perf_counter()
    steps, updates = 20_000, 0
    for step in range(steps):
        epsilon = max(0.04, 1.0 - 0.96 * step / 8_000)
        if rng.random() < epsilon:
            action = int(rng.integers(2))
        else:
            with torch.inference_mode():
                action = int(network(torch.from_numpy(observation)).argmax())
        next_observation, reward, terminated, truncated, _ = environment.step(action)
        observations[step], following[step] = observation, next_observation
        actions[step], rewards[step] = action, float(reward)
        discounts[step] = 0.0 if terminated else 0.99
        observation = next_observation
        if terminated or truncated:
            observation, _ = environment.reset()
        if step >= 1_000 and step % 256 == 0:
            for _ in range(128):
                update(step + 1)
            updates += 128
            target.load_state_dict(network.state_dict())
    seconds = time.perf_counter() - first_step
    report(steps, updates, seconds, None, imported, first_step)


def updates_only(seed: int) -> None:
    """The ceiling of the learner: updates from batches in memory, no acting, no sampling."""
    import numpy as np
    import torch

    from greenroom.agents.dqn.learning import DQNLearner
    from greenroom.agents.dqn.networks import QNetwork
    from greenroom.core import Batch
    from greenroom_api import DQN

    imported = time.perf_counter()
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    torso = torch.nn.Sequential(
        torch.nn.Linear(4, 256), torch.nn.ReLU(), torch.nn.Linear(256, 256), torch.nn.ReLU()
    )
    config = DQN.model_validate({"learningRate": 2.3e-3, "double": False})
    learner = DQNLearner(QNetwork(torso, 256, 2, dueling=False), config, torch.device("cpu"))
    batch = Batch(
        data={
            "observation": torch.randn(64, 4),
            "action": torch.randint(2, (64,)),
            "reward": torch.ones(64),
            "discount": torch.full((64,), 0.99),
            "next_observation": torch.randn(64, 4),
        },
        keys=np.zeros(64, np.uint64),
        probabilities=torch.ones(64),
        table_size=torch.ones(64),
    )
    first_step = time.perf_counter()
    updates = 5_000
    for _ in range(updates):
        learner.step(batch)
    seconds = time.perf_counter() - first_step
    report(2 * updates, updates, seconds, None, imported, first_step)


CONTESTANTS = {
    "Greenroom, lock-step": lambda seed: greenroom(seed, "lockstep"),
    "Greenroom, overlapped": lambda seed: greenroom(seed, "overlapped"),
    "Greenroom, processes": greenroom_processes,
    "Stable-Baselines3": stable_baselines3,
    "bare loop (ceiling)": bare_loop,
    "updates only (ceiling)": updates_only,
}

if __name__ == "__main__":
    CONTESTANTS[sys.argv[1]](int(sys.argv[2]))
