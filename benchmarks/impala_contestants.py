"""What benchmarks/impala_cartpole.py compares; each contestant runs in a process of its own.

Prints one JSON object. One torch thread in each process. Where evaluation holds training up,
it is left out of the times.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

STARTED = time.perf_counter()

SECONDS = 20
WANTED_RETURN = 475.0
EVALUATION_EPISODES = 10
EXAMPLE = Path(__file__).parents[1] / "examples" / "cartpole-impala.yaml"
# Overrides of the example, by goal: it trains until an evaluation returns 475 as it is.
OVERRIDES = {
    "throughput": (
        f"spec.stop.duration={SECONDS}s",
        "spec.stop.environmentSteps=null",
        "spec.stop.episodeReturn=null",
        "spec.evaluator.interval=1000000000",
    ),
    "return": (),
}


def report(
    rate: tuple[float, float],
    solved: tuple[int, float] | None,
    policy_lag: float | None,
    began: float,
) -> None:
    """Print the figures.

    Args:
        rate: environment steps and updates per second.
        solved: the environment steps and the seconds of training until the wanted return.
        policy_lag: updates from the parameters that acted to those that learned, on average.
        began: when training began, on `time.perf_counter`'s clock.
    """
    print(
        json.dumps(
            {
                "environmentStepsPerSecond": rate[0],
                "updatesPerSecond": rate[1],
                "stepsToReturn": solved[0] if solved else None,
                "secondsToReturn": solved[1] if solved else None,
                "policyLag": policy_lag,
                "startSeconds": began - STARTED,
            }
        )
    )


def greenroom(seed: int, goal: str, launch: str) -> None:
    """Time by the rows of metrics.

    Processes take seconds to start, and the learner's clock with them: its time to the return
    begins where its first row and its rate say that it began to learn ("start s" has the rest).
    """
    import greenroom
    from greenroom.observability.displays import Silent
    from greenroom.observability.records import read_metrics

    class Watch(Silent):
        began: float | None = None
        evaluating = 0.0
        _since: float | None = None

        def update(self, progress: Any) -> None:
            now = time.perf_counter()
            if self.began is None and progress.learner_steps:
                self.began = now
            if self._since is not None:
                self.evaluating += now - self._since
            evaluating = launch == "lockstep" and progress.state == "Evaluating"
            self._since = now if evaluating else None

    display = Watch()
    overrides = ["spec.learner.device=cpu", *OVERRIDES[goal]]
    experiment = greenroom.load_experiment(EXAMPLE, overrides, seed=seed)
    with TemporaryDirectory() as folder:
        directory = Path(folder) / "run"
        result = greenroom.run(experiment, run_directory=directory, launch=launch, display=display)
        rows = read_metrics(directory)
    assert display.began is not None, "nothing was learned"
    training = [row for row in rows if row["kind"] == "train"]
    learning = [row for row in training if row["learnerSteps"]]
    first, last = learning[0], learning[-1]
    seconds = last["wallSeconds"] - first["wallSeconds"]
    environment_steps, updates = (
        (last[key] - first[key]) / seconds for key in ("environmentSteps", "learnerSteps")
    )
    solved = result.reason == "EpisodeReturnReached"
    learning_began = max(0.0, first["wallSeconds"] - first["learnerSteps"] / updates)
    to_return = rows[-1]["wallSeconds"] - learning_began - display.evaluating
    report(
        (environment_steps, updates),
        (result.environment_steps, to_return) if solved else None,
        statistics.fmean(row["policyLag"] for row in learning if "policyLag" in row),
        display.began,
    )


def ppo(seed: int, goal: str) -> None:
    """rl-zoo's settings: 8 environments in the process, 20 epochs of one batch of 256."""
    # Here for Reverb's sake; tensorboard would import it, for seconds and 300 MiB.
    sys.modules["tensorflow"] = None  # type: ignore[assignment]
    import gymnasium
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.monitor import Monitor

    torch.set_num_threads(1)
    evaluation_env = Monitor(gymnasium.make("CartPole-v1"))
    evaluation_env.reset(seed=seed + 10_000)
    evaluates, period = goal == "return", 2_048

    class Watch(BaseCallback):  # type: ignore[misc]
        evaluating = 0.0
        solved: tuple[int, float] | None = None

        def _on_training_start(self) -> None:
            self.began = time.perf_counter()

        def _on_step(self) -> bool:
            now = time.perf_counter()
            if not evaluates:
                return now - self.began < SECONDS
            if self.num_timesteps % period:
                return True
            mean, _ = evaluate_policy(
                self.model, evaluation_env, EVALUATION_EPISODES, deterministic=True
            )
            if mean >= WANTED_RETURN:
                self.solved = (self.num_timesteps, now - self.began - self.evaluating)
            self.evaluating += time.perf_counter() - now
            return self.solved is None

    model = PPO(
        "MlpPolicy",
        make_vec_env("CartPole-v1", n_envs=8, seed=seed),
        n_steps=32,
        batch_size=256,
        n_epochs=20,
        gamma=0.98,
        gae_lambda=0.8,
        ent_coef=0.0,
        learning_rate=lambda remaining: 1e-3 * remaining,
        clip_range=lambda remaining: 0.2 * remaining,
        seed=seed,
        device="cpu",
    )
    watch = Watch()
    # Long enough for the fixed time; the schedules are rl-zoo's where the return is wanted.
    model.learn(100_000 if evaluates else 10_000_000, callback=watch)
    seconds = time.perf_counter() - watch.began - watch.evaluating
    rate = model.num_timesteps / seconds, model._n_updates / seconds
    report(rate, watch.solved, None, watch.began)


CONTESTANTS = {
    "lockstep": lambda seed, goal: greenroom(seed, goal, "lockstep"),
    "processes": lambda seed, goal: greenroom(seed, goal, "processes"),
    "ppo": ppo,
}

if __name__ == "__main__":
    CONTESTANTS[sys.argv[1]](int(sys.argv[2]), sys.argv[3])
