"""``greenroom eval``: play what was trained."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from greenroom.cli.options import RunPath


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
    from greenroom.observability.statistics import mean_interval

    played = evaluate_run(run, episodes=episodes, seed=seed)
    mean, low, high = mean_interval(played.returns)
    if video is not None:
        film_run(run, video, seed=seed)
    if json:
        summary = {
            "episodeReturn": mean,
            "episodeReturnLow": low,
            "episodeReturnHigh": high,
            "returns": played.returns,
            "lengths": played.lengths,
            "video": None if video is None else str(video),
        }
        typer.echo(json_module.dumps(summary))
        return
    for episode, (episode_return, length) in enumerate(
        zip(played.returns, played.lengths, strict=True), start=1
    ):
        typer.echo(f"episode {episode:>4}   return {episode_return:>10.4g}   steps {length:>7,}")
    typer.echo(
        f"mean return {mean:.4g} (95% interval {low:.4g} to {high:.4g}, {episodes} episodes)"
    )
    if video is not None:
        typer.echo(f"wrote {video}")
