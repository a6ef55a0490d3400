"""Every example that is shipped can be run."""

from __future__ import annotations

from pathlib import Path

import pytest

import greenroom
from greenroom_api import load_experiment

EXAMPLES = Path(__file__).parents[1] / "examples"
FILES = sorted(EXAMPLES.rglob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_example_runs(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES.parent)
    monkeypatch.syspath_prepend(file.parent)  # packages of an image's own
    short = ["spec.stop.learnerSteps=50", "spec.evaluator.episodes=1"]
    if load_experiment(file).spec.replay.rate_limiter != "Queue":
        short += [
            "spec.replay.minSize=100",
            "spec.replay.samplesPerInsert=2",
            "spec.replay.errorBuffer=200",
        ]
    experiment = load_experiment(file, short)
    result = greenroom.run(experiment, run_directory=tmp_path / "run")
    assert result.state == "Succeeded"
    assert result.learner_steps == 50
    policy = greenroom.load_policy(result.run_directory)
    action = policy(policy.spec.observation_space.sample())
    assert policy.spec.action_space.contains(action)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cartpole-impala", "memory-impala"])
def test_an_example_reaches_its_return_as_processes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over Reverb, the unrolls' recurrent states included: without them memory stays at chance."""
    monkeypatch.chdir(EXAMPLES.parent)  # where the roles find the example's environment
    experiment = load_experiment(EXAMPLES / f"{name}.yaml")
    result = greenroom.run(experiment, run_directory=tmp_path / "run", launch="processes")
    assert result.reason == "EpisodeReturnReached"
    assert experiment.spec.stop.episode_return is not None
    assert result.episode_return is not None
    assert result.episode_return >= experiment.spec.stop.episode_return
