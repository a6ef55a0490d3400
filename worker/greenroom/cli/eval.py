"""``greenroom eval``: play what was trained."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greenroom.cli.options import RunPath

if TYPE_CHECKING:
    from greenroom.acting.evaluation import Evaluation


def evaluate(
    run: RunPath,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes to play.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the episodes.")] = 0,
    video: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Also film one episode: .mp4 or .gif.", show_default=False
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Play the policy that a run left, and print its returns with mean and 95% interval.

    [bold]greenroom eval runs/NAME --episodes 100[/]
    [bold]greenroom eval runs/NAME --video cartpole.mp4[/]
    """
    from greenroom.launch.results import evaluate_run, film_run
    from greenroom.observability.files import plain_row
    from greenroom.observability.statistics import mean_interval
    from greenroom.observability.video import check_video_path

    if video is not None:
        check_video_path(video)
    played = evaluate_run(run, episodes=episodes, seed=seed)
    mean, low, high = mean_interval(played.returns)
    if json:
        interval = {"episodeReturn": mean, "episodeReturnLow": low, "episodeReturnHigh": high}
        summary = {**plain_row(interval), "returns": played.returns, "lengths": played.lengths}
        typer.echo(json_module.dumps(summary))
    else:
        _print_returns(played, mean, low, high)
    if video is not None:
        film_run(run, video, seed=seed)
        typer.echo(f"wrote {video}", err=json)


def _print_returns(played: Evaluation, mean: float, low: float, high: float) -> None:
    episodes = list(zip(played.returns, played.lengths, strict=True))
    for number, (episode_return, length) in enumerate(episodes, start=1):
        typer.echo(f"episode {number:>4}   return {episode_return:>10.4g}   steps {length:>7,}")
    if len(episodes) > 1:  # one episode has no interval
        typer.echo(
            f"mean return {mean:.4g} (95% interval {low:.4g} to {high:.4g}, "
            f"{len(episodes)} episodes)"
        )
