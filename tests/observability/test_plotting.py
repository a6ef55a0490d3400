"""Learning curves of runs, read from their records."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from greenroom.errors import ConfigurationError, GreenroomError, RunDirectoryError
from greenroom.observability.plotting import draw, plot_runs, read_curves
from greenroom.observability.records import RunRecords
from greenroom.observability.run_directory import RunDirectory
from greenroom.observability.statistics import mean_interval


def make_run(path: Path, points: int = 4, wanted: float | None = 475.0) -> Path:
    run = RunDirectory.create(path, "cartpole")
    stop = "{}" if wanted is None else f"{{episodeReturn: {wanted}}}"
    run.write_experiment(f"kind: RLExperiment\nspec: {{stop: {stop}}}\n")
    with RunRecords(run.path) as records:
        for steps in range(1_000, 1_000 * points + 1, 1_000):
            keys = {"environmentSteps": steps, "learnerSteps": steps, "wallSeconds": 1.0}
            training = None if steps == 1_000 else 20.0
            records.write({"kind": "train", **keys, "trainingReturn": training})
            mean, low, high = mean_interval([9.0, 10.0, 15.0][: 1 if steps == 1_000 else 3])
            interval = {"episodeReturnLow": low, "episodeReturnHigh": high}
            records.write({"kind": "evaluation", **keys, "episodeReturn": mean, **interval})
    return run.path


def test_a_picture_of_one_run(tmp_path: Path) -> None:
    output = tmp_path / "curve.png"
    plot_runs([make_run(tmp_path / "a")], output)
    picture = imread(output)
    assert picture.shape[:2] == (768, 1440)
    assert picture[..., :3].min() < 0.5 < picture[..., :3].max()


@pytest.mark.parametrize("suffix", [".svg", ".SVG", ".pdf"])
def test_the_suffix_says_which_kind(tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"curve{suffix}"
    plot_runs([make_run(tmp_path / "a")], output)
    start = output.read_bytes()[:200]
    assert start.startswith(b"%PDF" if suffix == ".pdf" else b"<?xml")


def test_curves_are_what_the_rows_say(tmp_path: Path) -> None:
    curves = read_curves(make_run(tmp_path / "a", points=2))
    assert (curves.name, curves.wanted) == ("a", 475.0)
    # The first training row had no episode yet, the first evaluation but one episode.
    assert curves.training.tolist() == [[2_000.0], [20.0]]
    steps, mean, low, high = curves.evaluation
    assert steps.tolist() == [1_000.0, 2_000.0]
    assert mean.tolist() == pytest.approx([9.0, 34 / 3])
    assert np.isnan([low[0], high[0]]).all()
    assert low[1] < mean[1] < high[1]


def test_one_run_is_named_in_the_title_and_several_in_the_legend(tmp_path: Path) -> None:
    curves = [read_curves(make_run(tmp_path / name)) for name in ("a", "b")]

    def legend(figure: Figure) -> list[str]:
        return [text.get_text() for text in figure.legends[0].get_texts()]

    alone, both = draw(curves[:1]), draw(curves)
    assert alone.axes[0].get_title(loc="left") == "a"
    assert "a" not in legend(alone)
    assert legend(both)[:2] == ["a", "b"]
    colors = {line.get_color() for line in both.axes[0].lines if line.get_label() in ("a", "b")}
    assert len(colors) == 2


def test_the_wanted_return_is_drawn_once(tmp_path: Path) -> None:
    curves = [
        read_curves(make_run(tmp_path / name, wanted=wanted))
        for name, wanted in (("a", 475.0), ("b", 475.0), ("c", None))
    ]
    assert [text.get_text() for text in draw(curves).axes[0].texts] == ["wanted 475"]


def test_no_window_and_no_setting_is_touched(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    program = (
        "import sys, matplotlib; from pathlib import Path\n"
        "sys.modules['torch'] = None  # slow to import, and not needed\n"
        "from greenroom.observability.plotting import plot_runs\n"
        "settings = lambda: list(dict.items(matplotlib.rcParams))  # reading them loads pyplot\n"
        "before = settings()\n"
        "plot_runs([Path(sys.argv[1])], Path(sys.argv[1]) / 'curve.png')\n"
        "assert settings() == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, str(run)], check=True)


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\.png, \.svg, \.pdf\. Got: curve\.bmp"):
        plot_runs([make_run(tmp_path / "a")], Path("curve.bmp"))


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="nowhere"):
        plot_runs([tmp_path / "nowhere"], tmp_path / "curve.png")


def test_a_run_without_episodes_has_nothing_to_draw(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", points=0)
    with pytest.raises(GreenroomError, match=f"Got: {run}"):
        plot_runs([run], tmp_path / "curve.png")
    # Beside another it is only an empty curve.
    plot_runs([run, make_run(tmp_path / "b")], tmp_path / "curve.png")


def test_a_picture_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    output = tmp_path / "missing" / "curve.png"
    with pytest.raises(GreenroomError, match=f"No such file or directory while writing {output}"):
        plot_runs([make_run(tmp_path / "a")], output)


def test_without_matplotlib_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "a")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(GreenroomError, match=r"pip install 'greenroom\[plot\]'"):
        plot_runs([run], tmp_path / "curve.png")
