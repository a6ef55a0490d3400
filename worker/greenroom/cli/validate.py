"""``greenroom validate``: check experiments without running them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from greenroom.cli.options import Overrides


def validate(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="RLExperiments in YAML.", show_default=False),
    ],
    overrides: Overrides = [],  # noqa: B006  typer copies it
    show: Annotated[
        bool, typer.Option("--show", help="Print each experiment with every default filled in.")
    ] = False,
) -> None:
    """Check experiment files and report every problem in them.

    It looks at the file alone; `run` also makes the environment and the agent.

    [bold]greenroom validate examples/*.yaml[/]
    """
    from greenroom_api import InvalidExperiment, dump_experiment, load_experiment

    problems = 0
    for file in files:
        try:
            experiment = load_experiment(file, overrides)
        except InvalidExperiment as error:
            problems += 1
            typer.echo(str(error), err=True)
        else:
            typer.echo(dump_experiment(experiment) if show else f"{file}: valid")
    if problems:
        raise typer.Exit(2)
