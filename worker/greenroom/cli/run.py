"""``greenroom run``: train."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from greenroom.cli.options import ExperimentFile, Overrides, Seed


class LaunchOption(StrEnum):
    """`greenroom.Launch`, spelt again so that ``--help`` need not import torch."""

    LOCKSTEP = "lockstep"
    OVERLAPPED = "overlapped"
    PROCESSES = "processes"


def run(
    file: ExperimentFile,
    overrides: Overrides = [],  # noqa: B006  typer copies it
    seed: Seed = None,
    run_directory: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where to leave results; default runs/NAME-TIME. With --resume, the run to "
            "resume; default the newest of this name.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint.")
    ] = False,
    launch: Annotated[
        LaunchOption,
        typer.Option(
            help="lockstep: one thread, bit-for-bit reproducible; overlapped: acting and "
            "learning at the same time, faster on two cores; processes: replay, learner, actors "
            "and evaluator as processes over Reverb, as they will be in pods."
        ),
    ] = LaunchOption.LOCKSTEP,
    actors: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Actor processes; default spec.actors.replicas. For --launch processes.",
            show_default=False,
        ),
    ] = None,
    json: Annotated[
        bool,
        typer.Option(
            "--json", help="One JSON object per line on standard output; the last is the summary."
        ),
    ] = False,
) -> None:
    """Train until a stop condition is met.

    [bold]greenroom run examples/cartpole-dqn.yaml[/]
    [bold]greenroom run FILE --seed 1 --set spec.stop.environmentSteps=3000[/]
    [bold]greenroom run FILE --launch processes --actors 2[/]
    [bold]greenroom run FILE --resume[/]   after Ctrl-C, a crash, or with a higher stop
    """
    from greenroom_api import load_experiment

    if actors is not None:
        if launch is not LaunchOption.PROCESSES:
            raise typer.BadParameter(f"--actors needs --launch processes. Got: {launch.value}.")
        overrides = [*overrides, f"spec.actors.replicas={actors}"]
    experiment = load_experiment(file, overrides, seed)

    with _dying_of_ctrl_c():
        import greenroom
        from greenroom.observability.displays import make_display

        launch_training = greenroom.run
        if launch is not LaunchOption.PROCESSES:
            import greenroom.launch.local  # with torch

    result = launch_training(
        experiment,
        run_directory=run_directory,
        resume=resume,
        launch=greenroom.Launch(launch.value),
        display=make_display("json" if json else "auto"),
    )
    if result.signal is not None:
        raise typer.Exit(128 + result.signal)


@contextmanager
def _dying_of_ctrl_c() -> Iterator[None]:
    """Let SIGINT end the process while libraries are imported.

    Their C code may swallow a KeyboardInterrupt and leave a half imported module behind.
    """
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
