"""What can be done with a run that is over: play its policy again, and film it."""

from __future__ import annotations

from pathlib import Path

from greenroom.acting.evaluation import MAX_ENVIRONMENTS, Evaluation, evaluate
from greenroom.environments import make_environment
from greenroom.errors import ConfigurationError
from greenroom.export import LoadedPolicy, load_policy
from greenroom.observability.run_directory import RunDirectory
from greenroom.observability.video import check_video_path, write_video
from greenroom.randomness import torch_generator
from greenroom.specs import Array
from greenroom_api import RLExperiment, load_experiment

DEFAULT_FRAMES_PER_SECOND = 30.0
# An episode need not end; a film must.
MAX_FRAMES = 10_000


def evaluate_run(run: Path, *, episodes: int, seed: int) -> Evaluation:
    """Play the policy that a run left, in the environment that it was trained in.

    Raises:
        RunDirectoryError: ``run`` is not a run directory.
        CheckpointError: it holds no policy yet, or a damaged one.
    """
    experiment, policy = _load(run)
    environment = make_environment(
        experiment.spec.environment,
        num_envs=min(episodes, MAX_ENVIRONMENTS),
        seed=seed,
        name="eval",
    )
    try:
        played = evaluate(policy.policy, environment, episodes, torch_generator(seed, "eval"))
    finally:
        environment.close()
    assert played is not None, "nothing interrupts it"
    return played


def film_run(run: Path, video: Path, *, seed: int) -> float:
    """Film one episode, 10,000 steps at most, as mp4 or gif; return its return.

    Raises:
        ConfigurationError: another suffix, or an environment that renders no pictures.
        GreenroomError: what writes videos is not installed.
    """
    check_video_path(video)
    experiment, policy = _load(run)
    environment = make_environment(
        experiment.spec.environment, num_envs=1, seed=seed, name="video", render_mode="rgb_array"
    )
    frames: list[Array] = []
    episode_return = 0.0
    ended = False
    try:
        observation = environment.reset()
        while not ended and len(frames) < MAX_FRAMES:
            pictures = environment.render()
            if not pictures or pictures[0] is None:
                raise ConfigurationError(
                    f"A video needs an environment that renders rgb_array. Got: {pictures!r}."
                )
            frames.append(pictures[0])
            step = environment.step(policy.act(observation))
            episode_return += float(step.reward[0])
            ended = bool(step.terminated[0] or step.truncated[0])
            observation = step.observation
    finally:
        environment.close()
    write_video(video, frames, environment.frames_per_second or DEFAULT_FRAMES_PER_SECOND)
    return episode_return


def _load(run: Path) -> tuple[RLExperiment, LoadedPolicy]:
    directory = RunDirectory.open(run)
    return load_experiment(directory.experiment), load_policy(directory.policy)
