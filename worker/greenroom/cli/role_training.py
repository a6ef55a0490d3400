"""``greenroom role learner``, ``actor`` and ``evaluator``: the roles that need torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from greenroom.cli.role import FollowStdin, Host, HttpPort, ShipLogs
from greenroom.roles import settings

Experiment = Annotated[
    Path,
    typer.Option(
        envvar=settings.EXPERIMENT, metavar="FILE", help="The experiment.", show_default=False
    ),
]
Replay = Annotated[
    str,
    typer.Option(
        envvar=settings.REPLAY,
        metavar="HOST:PORT",
        help="Where the Reverb server is.",
        show_default=False,
    ),
]
LearnerAddress = Annotated[
    str,
    typer.Option(
        "--learner",
        envvar=settings.LEARNER,
        metavar="HOST:PORT",
        help="Where the learner's service is.",
        show_default=False,
    ),
]


def learner(
    experiment: Experiment,
    run_directory: Annotated[
        Path,
        typer.Option(
            envvar=settings.RUN_DIRECTORY,
            metavar="DIR",
            help="Where results go. A run that is there already goes on from its newest "
            "checkpoint.",
            show_default=False,
        ),
    ],
    replay: Replay,
    port: Annotated[
        int,
        typer.Option(
            envvar=settings.PORT,
            min=0,
            max=65535,
            help="Port of its service; 0 takes a free one.",
            show_default=False,
        ),
    ],
    host: Host = "127.0.0.1",
    http_port: HttpPort = 0,
    follow_stdin: FollowStdin = False,
    uid: Annotated[
        str,
        typer.Option(
            envvar=settings.UID,
            help="Which experiment it is, among all of its name; /status tells it.",
            show_default=False,
        ),
    ] = "",
    stay: Annotated[
        bool,
        typer.Option(
            "--stay",
            envvar=settings.STAY,
            help="Go on telling on /status how training ended: until SIGTERM where a stop "
            "condition was met, started again too; after SIGTERM until it was read.",
        ),
    ] = False,
) -> None:
    """Train, serve parameters, and keep the run directory.

    Ends with status 0 when a stop condition was met, 143 (130; with --stay 0) after a
    checkpoint on SIGTERM (SIGINT), 3 when training diverged.
    """
    import contextlib

    from greenroom.errors import CheckpointMismatch, TrainingDiverged
    from greenroom.observability.kept_logs import KeptLog, KeptLogHandler, log_kept_by
    from greenroom.observability.logs import log_to_stderr
    from greenroom.observability.run_directory import RunDirectory
    from greenroom.roles.learner import LearnerOptions, run_learner
    from greenroom.roles.serving import role_context
    from greenroom_api import load_experiment

    log_to_stderr()
    loaded = load_experiment(experiment)
    with contextlib.ExitStack() as stack:
        context = stack.enter_context(
            role_context("learner", host, http_port, follow_stdin=follow_stdin)
        )
        options = LearnerOptions(host, port, replay, run_directory, uid, stay, experiment)
        try:
            with contextlib.ExitStack() as keeping:
                if stay:  # where no launcher keeps it
                    log = KeptLog(RunDirectory(run_directory).kept_logs / "learner.log")
                    keeping.enter_context(log_kept_by(KeptLogHandler(log)))
                result = run_learner(loaded, context, options)
        except (TrainingDiverged, CheckpointMismatch) as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(settings.EXIT_PERMANENT) from error
    # Whoever has it stay asked it to stop, and is to find that nothing went wrong.
    if result.signal is not None and not stay:
        raise typer.Exit(128 + result.signal)


def actor(
    experiment: Experiment,
    name: Annotated[
        str,
        typer.Option(
            envvar=settings.ACTOR_NAME,
            help="Of this actor alone; its seeds follow from it.",
            show_default=False,
        ),
    ],
    replay: Replay,
    learner: LearnerAddress,
    host: Host = "127.0.0.1",
    http_port: HttpPort = 0,
    follow_stdin: FollowStdin = False,
) -> None:
    """Act in environments and write experience into replay, until SIGTERM."""
    import torch

    from greenroom.observability.logs import log_to_stderr
    from greenroom.roles.actor import run_actor
    from greenroom.roles.serving import role_context
    from greenroom_api import load_experiment

    log_to_stderr()
    # A forward pass of a few rows is not worth a second thread, nor is there a core for it.
    torch.set_num_threads(1)
    loaded = load_experiment(experiment)
    with role_context(name, host, http_port, follow_stdin=follow_stdin) as context:
        run_actor(loaded, context, name=name, replay=replay, learner=learner)


def evaluator(
    experiment: Experiment,
    learner: LearnerAddress,
    host: Host = "127.0.0.1",
    http_port: HttpPort = 0,
    follow_stdin: FollowStdin = False,
    ship_logs: ShipLogs = False,
) -> None:
    """Play greedy episodes when the learner asks for an evaluation, until SIGTERM."""
    import contextlib

    import torch

    from greenroom.observability.logs import log_to_stderr
    from greenroom.roles.evaluator import run_evaluator
    from greenroom.roles.log_shipping import log_shipped
    from greenroom.roles.serving import role_context
    from greenroom_api import load_experiment

    log_to_stderr()
    torch.set_num_threads(1)
    loaded = load_experiment(experiment)
    with contextlib.ExitStack() as stack:
        context = stack.enter_context(
            role_context("evaluator", host, http_port, follow_stdin=follow_stdin)
        )
        if ship_logs:
            stack.enter_context(log_shipped("evaluator", learner, context.token, context.registry))
        run_evaluator(loaded, context, learner=learner)


def seed(
    source: Annotated[
        Path,
        typer.Option(metavar="DIR", help="The run to go on from; only read.", show_default=False),
    ],
    run_directory: Annotated[
        Path,
        typer.Option(
            envvar=settings.RUN_DIRECTORY,
            metavar="DIR",
            help="The run that is to begin; one that has begun is left alone.",
            show_default=False,
        ),
    ],
    experiment: Annotated[
        Path | None,
        typer.Option(
            envvar=settings.EXPERIMENT,
            metavar="FILE",
            help="The experiment that the checkpoint must fit; without it the learner finds out.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Have a new run go on from another one's newest checkpoint, before its learner starts.

    Ends with status 2 when there is nothing to go on from, or nothing that fits.
    """
    from greenroom.errors import CheckpointError, ConfigurationError
    from greenroom.observability.logs import log_to_stderr
    from greenroom.observability.run_directory import RunDirectory
    from greenroom.roles.seeding import seed_run
    from greenroom_api import load_experiment

    log_to_stderr()
    loaded = None if experiment is None else load_experiment(experiment)
    if not RunDirectory(source).begun:
        raise ConfigurationError(f"A run goes on from a run. Got: {source}, which is none.")
    try:
        checkpoint = seed_run(loaded, source, run_directory)
    except CheckpointError as error:
        raise ConfigurationError(str(error)) from error
    if checkpoint is None:
        typer.echo(f"{run_directory} has begun: nothing is copied")
    else:
        typer.echo(f"{run_directory} goes on from {source}, {checkpoint}")
