"""The ``greenroom`` command: options that all share, errors, exit statuses."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from greenroom import __version__
from greenroom.cli.agents import agents
from greenroom.cli.eval import evaluate
from greenroom.cli.fetch import fetch
from greenroom.cli.plot import plot
from greenroom.cli.role import role
from greenroom.cli.role_training import actor, evaluator, learner, seed
from greenroom.cli.run import run
from greenroom.cli.validate import validate

EXIT_FAILED = 1
EXIT_INVALID = 2

app = typer.Typer(
    name="greenroom",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 done, 1 failed, 2 wrong usage or experiment, "
    "130 or 143 stopped by SIGINT or SIGTERM after a checkpoint.",
)
app.command()(run)
app.command()(validate)
app.command(name="eval")(evaluate)
app.command()(plot)
app.command()(agents)
app.command()(fetch)
for training_role in (learner, actor, evaluator, seed):
    role.command()(training_role)
app.add_typer(role)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"greenroom {__version__}")
        raise typer.Exit


@app.callback()
def greenroom(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Reinforcement-learning training: one file, one command.

    [bold]greenroom run examples/cartpole-dqn.yaml[/]   train
    [bold]greenroom eval runs/NAME[/]                   play what was trained
    [bold]greenroom plot runs/*[/]                      draw learning curves
    """


def main() -> None:
    """Run the command; what the user can act on is one message, not a traceback."""
    from greenroom.errors import ConfigurationError, GreenroomError
    from greenroom_api import InvalidExperiment

    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        app()
    except (InvalidExperiment, ConfigurationError) as error:
        errors.print(f"error: {error}", markup=False)
        sys.exit(EXIT_INVALID)
    except GreenroomError as error:
        errors.print(f"error: {error}", markup=False)
        sys.exit(EXIT_FAILED)
