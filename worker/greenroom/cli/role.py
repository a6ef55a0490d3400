"""``greenroom role``: one process of a run, as launchers and pods start it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from greenroom.roles import settings

role = typer.Typer(
    name="role",
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="One process of a run: what launchers and pods start.",
    epilog="Options may be given as environment variables, too. Exit status: 0 done, or stopped "
    "by a signal in order; 1 failed, and may be started again; 2 wrong usage or configuration.",
)

Host = Annotated[
    str, typer.Option(envvar=settings.BIND_HOST, help="Address to listen on; 0.0.0.0 is every one.")
]
HttpPort = Annotated[
    int,
    typer.Option(
        envvar=settings.HTTP_PORT,
        min=0,
        max=65535,
        help="Port of /healthz, /readyz, /metrics and /status; 0 takes a free one.",
    ),
]
FollowStdin = Annotated[
    bool,
    typer.Option("--follow-stdin", help="End, as on SIGTERM, when standard input is closed."),
]


ShipLogs = Annotated[
    bool,
    typer.Option(
        "--ship-logs",
        envvar=settings.SHIP_LOGS,
        help="Have the learner keep the log, too: one that runs with --stay.",
    ),
]


def seconds(text: str) -> float:
    """Return a time that is given as seconds or like ``5m``, in seconds."""
    from greenroom_api import Duration

    try:
        number = float(text)
    except ValueError:
        try:
            return float(Duration(text))
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    if not 0.0 < number < math.inf:
        raise typer.BadParameter(f"A time must be longer than 0 s. Got: {text}.")
    return number


@role.command()
def replay(
    tables: Annotated[
        str,
        typer.Option(
            envvar=settings.TABLES,
            metavar="FILE|URL",
            help="Description of the tables in JSON; the learner serves it at /tables.",
            show_default=False,
        ),
    ],
    port: Annotated[
        int,
        typer.Option(
            envvar=settings.PORT,
            help="Port of the Reverb server, which listens on every interface whatever --host is.",
            show_default=False,
        ),
    ],
    host: Host = "127.0.0.1",
    http_port: HttpPort = 0,
    checkpoint_directory: Annotated[
        Path | None,
        typer.Option(
            envvar=settings.CHECKPOINT_DIRECTORY,
            metavar="DIR",
            help="Where checkpoints are written, and restored from; without it there are none.",
            show_default=False,
        ),
    ] = None,
    checkpoint_interval: Annotated[
        float,
        typer.Option(
            envvar=settings.CHECKPOINT_INTERVAL,
            metavar="SECONDS|DURATION",
            parser=seconds,
            help="Time between checkpoints: 300, or 5m.",
        ),
    ] = "5m",  # type: ignore[assignment]  # typer parses it
    follow_stdin: FollowStdin = False,
    ship_logs: ShipLogs = False,
    learner: Annotated[
        str,
        typer.Option(
            envvar=settings.LEARNER,
            metavar="HOST:PORT",
            help="Where the learner's service is, for --ship-logs.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Serve replay tables with Reverb.

    [bold]greenroom role replay --tables http://learner:7001/tables --port 7000[/]
    """
    from contextlib import ExitStack

    from prometheus_client import CollectorRegistry

    from greenroom.observability.logs import log_to_stderr
    from greenroom.roles.lifetime import stop_requested
    from greenroom.roles.replay import ReplayOptions, run_replay

    log_to_stderr()
    options = ReplayOptions(
        tables, port, host, http_port, checkpoint_directory, checkpoint_interval
    )
    registry = CollectorRegistry()
    with ExitStack() as stack:
        stop = stack.enter_context(stop_requested(follow_stdin=follow_stdin))
        if ship_logs:
            from greenroom.roles.log_shipping import log_shipped
            from greenroom.roles.serving import run_token

            stack.enter_context(log_shipped("replay", learner, run_token(), registry))
        run_replay(options, stop, registry)
