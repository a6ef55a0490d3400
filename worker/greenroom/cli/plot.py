"""``greenroom plot``: learning curves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def plot(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run directories.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The picture: .png, .svg or .pdf.")
    ] = Path("learning-curves.png"),
) -> None:
    """Draw the learning curves of runs, one over the other.

    [bold]greenroom plot runs/*[/]
    """
    from greenroom.observability.plotting import plot_runs

    plot_runs(runs, output)
    typer.echo(f"wrote {output}")
