"""The command as a user meets it: in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "cartpole-dqn.yaml"
SHORT = [
    "--set=spec.replay.minSize=100",
    "--set=spec.replay.errorBuffer=100",
    "--set=spec.replay.samplesPerInsert=2",
    "--set=spec.stop.environmentSteps=300",
    "--set=spec.evaluator.episodes=2",
]


def greenroom(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "greenroom", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        check=False,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("command") / "run"
    done = greenroom("run", str(EXAMPLE), *SHORT, f"--run-directory={directory}", "--json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    summary = lines[-1]
    assert summary["state"] == "Succeeded"
    assert summary["reason"] == "EnvironmentStepsReached"
    assert summary["environmentSteps"] == 300
    assert summary["learnerSteps"] > 0
    assert summary["wallSeconds"] > 0
    assert summary["runDirectory"] == str(directory)
    assert isinstance(summary["episodeReturn"], float)
    return directory


def test_a_run_leaves_everything_that_was_promised(finished: Path) -> None:
    assert {path.name for path in finished.glob("[!.]*")} == {
        "checkpoints",
        "environment.txt",
        "experiment.yaml",
        "metrics.csv",
        "metrics.jsonl",
        "policy",
        "summary.json",
        "tensorboard",
    }
    assert {path.name for path in (finished / "policy").iterdir()} == {
        "policy.json",
        "policy.safetensors",
    }
    assert not list(finished.rglob("*.pkl"))
    assert not list(finished.rglob("*.pt"))


def test_eval_plays_the_policy(finished: Path) -> None:
    first, second = (
        greenroom("eval", str(finished), "--episodes", "20", "--json") for _ in range(2)
    )
    assert first.returncode == 0, first.stderr
    played = json.loads(first.stdout)
    assert len(played["returns"]) == 20
    assert played["episodeReturn"] == pytest.approx(sum(played["returns"]) / 20)
    assert played["episodeReturnLow"] <= played["episodeReturn"] <= played["episodeReturnHigh"]
    assert first.stdout == second.stdout
    text = greenroom("eval", str(finished)).stdout
    assert "mean return" in text
    assert "95% interval" in text


@pytest.mark.parametrize(("suffix", "magic"), [("gif", b"GIF8"), ("mp4", b"ftyp")])
def test_eval_films(finished: Path, tmp_path: Path, suffix: str, magic: bytes) -> None:
    video = tmp_path / f"episode.{suffix}"
    done = greenroom("eval", str(finished), "--episodes", "1", "--video", str(video))
    assert done.returncode == 0, done.stderr
    assert magic in video.read_bytes()[:12]


def test_plot_draws_several_runs(finished: Path, tmp_path: Path) -> None:
    picture = tmp_path / "curves.png"
    done = greenroom("plot", str(finished), str(finished), "-o", str(picture))
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_validate_says_every_problem_at_once(tmp_path: Path) -> None:
    assert greenroom("validate", str(EXAMPLE)).returncode == 0
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(
        EXAMPLE.read_text()
        .replace("learningRate", "learningrate")
        .replace("maxSize: 100000", "maxSize: 10")
    )
    done = greenroom("validate", str(wrong))
    assert done.returncode == 2
    assert f"{wrong}: spec.agent.dqn.learningrate" in done.stderr
    assert "learningRate?" in done.stderr
    assert "maxSize" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["run", "absent.yaml"], 2, "absent.yaml"),
        (["run", str(EXAMPLE), "--set", "spec.stop.enviromentSteps=1"], 2, "environmentSteps?"),
        (["run", str(EXAMPLE), "--set", "spec.environment.gymnasium.id=CartPol-v1"], 2, "CartPole"),
        (
            ["run", str(EXAMPLE), "--set", "spec.environment.gymnasium.id=Pendulum-v1"],
            2,
            "Discrete",
        ),
        (["run", str(EXAMPLE), "--resume"], 1, "runs"),
        (["run", str(EXAMPLE), "--launch", "kubernetes"], 2, "lockstep"),
        (["eval", "absent"], 1, "absent"),
        (["plot", "absent"], 1, "absent"),
    ],
)
def test_bad_input_is_one_message_and_a_status(
    arguments: list[str], status: int, message: str, tmp_path: Path
) -> None:
    done = greenroom(*arguments, cwd=tmp_path)
    assert done.returncode == status, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_agents_lists_hyperparameters_with_defaults() -> None:
    done = greenroom("agents")
    assert done.returncode == 0, done.stderr
    assert "learningRate" in done.stdout
    listed = json.loads(greenroom("agents", "--json").stdout)
    assert any(field["name"] == "nStep" and field["default"] == "1" for field in listed["dqn"])


def test_help_and_version_come_without_torch() -> None:
    program = "import sys; sys.argv[1:] = ['{}']; import greenroom.cli.main as m\n"
    program += "try: m.main()\nexcept SystemExit: pass\nsys.exit('torch' in sys.modules)"
    for option in ("--help", "--version"):
        done = subprocess.run(
            [sys.executable, "-c", program.format(option)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "greenroom" in done.stdout
