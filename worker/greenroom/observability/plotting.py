"""Learning curves of runs, as a picture. Needs matplotlib, which nothing else does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from greenroom.errors import ConfigurationError, GreenroomError
from greenroom.observability.records import read_metrics
from greenroom.observability.run_directory import RunDirectory
from greenroom.specs import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")
INCHES = (9.0, 4.8)
DOTS_PER_INCH = 160

# Okabe and Ito 2008, "Color universal design": told apart by colour-blind readers.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK = "#333333"
FAINT = "#8A8A8A"


@dataclass(frozen=True)
class Curves:
    """One run, as drawn; K rows of training and E evaluations, by environment steps.

    Attributes:
        name: for the legend.
        wanted: the run's stop condition on the return, if it has one.
        training: [2, K] steps and training return.
        evaluation: [4, E] steps, mean return, and low and high end of its interval;
            NaN where there is none.
    """

    name: str
    wanted: float | None
    training: Array
    evaluation: Array


def plot_runs(runs: Sequence[Path], output: Path) -> None:
    """Draw the learning curves of runs over one another.

    The line is the mean return of each evaluation, the band its 95% interval; the pale
    line is the mean return of training episodes, which explore. The dashed line is the
    return that the runs were to reach.

    Args:
        runs: run directories, at least one; also of runs that are still going on.
        output: the picture; its suffix says which kind: .png, .svg or .pdf.

    Raises:
        ConfigurationError: another suffix.
        RunDirectoryError: one is no run, or has no metrics yet.
        GreenroomError: nothing to draw, a picture that cannot be written, or matplotlib
            is not installed.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise ConfigurationError(
            f"A plot's file name must end in {', '.join(SUFFIXES)}. Got: {output}."
        )
    curves = [read_curves(run) for run in runs]
    if not any(curve.training.size or curve.evaluation.size for curve in curves):
        raise GreenroomError(
            "A plot needs a run with an evaluation, or with a training episode that has ended. "
            f"Got: {', '.join(map(str, runs))}."
        )
    figure = draw(curves)
    try:
        figure.savefig(output, dpi=DOTS_PER_INCH)
    except OSError as error:
        raise GreenroomError(
            f"A plot must be writable. Got: {error.strerror or error} while writing {output}."
        ) from error


def draw(curves: Sequence[Curves]) -> Figure:
    """Return the figure, which belongs to no window and changes no setting of matplotlib.

    Raises:
        GreenroomError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise GreenroomError(
            f"Plotting needs matplotlib: pip install 'greenroom[plot]'. Got: {error}."
        ) from error
    figure = Figure(figsize=INCHES, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    for index, curve in enumerate(curves):
        _draw_run(axes, curve, COLORS[index % len(COLORS)])
    for wanted in sorted({curve.wanted for curve in curves if curve.wanted is not None}):
        axes.axhline(wanted, color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        axes.annotate(
            f"wanted {wanted:g}",
            (0.008, wanted),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            color=FAINT,
            fontsize=9,
        )
    _decorate(figure, axes, curves)
    return figure


def _draw_run(axes: Axes, curve: Curves, color: str) -> None:
    axes.plot(*curve.training, color=color, linewidth=1, alpha=0.35, zorder=2)
    steps, mean, low, high = curve.evaluation
    axes.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0, zorder=2)
    axes.plot(
        steps,
        mean,
        color=color,
        linewidth=2,
        marker="o",
        markersize=4 if len(steps) <= 40 else 0,
        markeredgewidth=0,
        label=curve.name,
        zorder=3,
    )


def _decorate(figure: Figure, axes: Axes, curves: Sequence[Curves]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.ticker import EngFormatter

    axes.set_xlabel("environment steps", color=INK)
    axes.set_ylabel("return of an episode", color=INK)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlim(left=0)
    axes.margins(y=0.05)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#BBBBBB")
    axes.tick_params(colors=INK, length=0, labelsize=9)
    title = curves[0].name if len(curves) == 1 else "Learning curves"
    axes.set_title(title, loc="left", color=INK, fontsize=12, fontweight="bold", pad=8)
    handles: list[Any] = [
        Line2D([], [], color=COLORS[index % len(COLORS)], linewidth=2, label=curve.name)
        for index, curve in enumerate(curves)
        if len(curves) > 1
    ]
    ink = COLORS[0] if len(curves) == 1 else FAINT
    handles += [
        Line2D([], [], color=ink, linewidth=2, marker="o", markersize=4, label="evaluation"),
        Line2D([], [], color=ink, linewidth=8, alpha=0.2, label="its 95% interval"),
        Line2D([], [], color=ink, linewidth=1, alpha=0.5, label="training (explores)"),
    ]
    # Beside the curves: there is no corner that some curve does not pass through.
    figure.legend(
        handles=handles, frameon=False, fontsize=9, labelcolor=INK, loc="outside right upper"
    )


def read_curves(path: Path) -> Curves:
    """Return what is drawn of the run at ``path``.

    Raises:
        RunDirectoryError: it is no run, or has no metrics yet.
    """
    rows = read_metrics(path)
    spec = yaml.safe_load(RunDirectory(path).experiment.read_text(encoding="utf-8")).get("spec")
    stop = (spec or {}).get("stop") or {}
    return Curves(
        name=path.resolve().name,
        wanted=stop.get("episodeReturn"),
        training=_columns(rows, "train", "trainingReturn"),
        evaluation=_columns(
            rows, "evaluation", "episodeReturn", "episodeReturnLow", "episodeReturnHigh"
        ),
    )


def _columns(rows: Sequence[dict[str, Any]], kind: str, value: str, *others: str) -> Array:
    """Return [2 + others, rows of that kind which have ``value``]: steps first."""
    names = ("environmentSteps", value, *others)
    points = [
        [row.get(name) for name in names]
        for row in rows
        if row["kind"] == kind and row.get(value) is not None
    ]
    return np.array(points, dtype=np.float64).reshape(-1, len(names)).T
