"""The panel that shows a run: a pure picture of a header, a progress and the newest events."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from rich.box import ROUNDED
from rich.console import Console, Group
from rich.panel import Panel
from rich.text import Text

from greenroom.observability.files import replace_text
from greenroom.observability.formatting import (
    format_count,
    format_duration,
    format_number,
    format_rate,
    sparkline,
)
from greenroom.observability.progress import Header, Progress, RoleStatus

MAX_WIDTH = 88
LABEL_WIDTH = 13
BORDER = 6  # the frame and two columns of air on either side
MAX_SPARKS = 24
MAX_ROLE_ROWS = 8
MIN_BAR = 6  # below it a bar says nothing

LABEL = "dim"
VALUE = "bold"
BAR_DONE = "cyan"
BAR_LEFT = "bright_black"
Event: TypeAlias = tuple[str, str]

STATE_STYLES = {
    "Running": "green",
    "Evaluating": "magenta",
    "Saving": "blue",
    "Succeeded": "bold green",
    "Interrupted": "bold yellow",
    "Failed": "bold red",
}


def render_panel(
    header: Header, progress: Progress, events: Sequence[Event] = (), width: int = MAX_WIDTH
) -> Panel:
    """Return the panel, ``width`` columns wide (`MAX_WIDTH` at most); long lines are cut.

    Args:
        events: when each was, and what; the newest last. All that are given are shown.
    """
    width = min(width, MAX_WIDTH)
    lines = list(_lines(progress, width - BORDER))
    if events:
        lines += [Text(), *(_line(when, (message, "")) for when, message in events)]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    title = Text.assemble(
        (header.experiment, "bold"), (f"  {header.agent} on {header.environment}", LABEL)
    )
    title.truncate(max(1, width - 8), overflow="ellipsis")
    subtitle = Text(str(header.run_directory), style=LABEL)
    subtitle.truncate(max(1, width - 8), overflow="ellipsis")
    return Panel(
        Group(*lines),
        box=ROUNDED,
        title=title,
        title_align="left",
        subtitle=subtitle,
        subtitle_align="right",
        border_style="bright_black",
        padding=(1, 2),
        width=width,
    )


def save_panel_svg(
    path: Path, header: Header, progress: Progress, events: Sequence[Event] = ()
) -> None:
    """Write the panel as an SVG picture, as a terminal shows it.

    Raises:
        RunDirectoryError: the file cannot be written.
    """
    console = Console(
        record=True,
        file=io.StringIO(),
        width=MAX_WIDTH,
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
    )
    console.print(render_panel(header, progress, events))
    # A fixed id: equal panels are equal files.
    title = f"greenroom run {header.experiment}"
    replace_text(path, console.export_svg(title=title, unique_id="greenroom"))


def _lines(progress: Progress, width: int) -> Iterator[Text]:
    yield _status(progress)
    yield Text()
    yield from _bars(progress, width)
    yield Text()
    yield from _returns(progress, width)
    yield Text()
    yield from _flow(progress)
    if progress.roles:
        yield Text()
        yield from _roles(progress.roles)


def _status(progress: Progress) -> Text:
    state = (progress.state, STATE_STYLES.get(progress.state, VALUE))
    elapsed = ("  " + format_duration(progress.wall_seconds), VALUE)
    if progress.waiting_for is not None:
        return _line("state", state, elapsed, (f"  waits for {progress.waiting_for}", LABEL))
    if progress.eta_seconds is None:
        return _line("state", state, elapsed)
    left = (f", {format_duration(progress.eta_seconds)} left at most", LABEL)
    return _line("state", state, elapsed, left)


def _bars(progress: Progress, width: int) -> Iterator[Text]:
    """The counts, and the time if it is limited, with a bar against each limit there is."""
    stop = progress.stop
    rows: list[tuple[str, float, float | None, Callable[[float], str]]] = [
        ("env steps", progress.environment_steps, stop.environment_steps, _count),
        ("learner steps", progress.learner_steps, stop.learner_steps, _count),
    ]
    if stop.duration_seconds is not None:
        rows.append(("time", progress.wall_seconds, stop.duration_seconds, format_duration))
    # All bars have one length, which the longest count leaves room for.
    longest = max(
        (2 * len(text(limit)) for _, _, limit, text in rows if limit is not None), default=0
    )
    room = width - LABEL_WIDTH - longest - len("  100%   of ")
    for label, reached, limit, text in rows:
        if limit is None:
            yield _line(label, (text(reached), VALUE))
            continue
        fraction = min(reached / limit, 1.0) if limit > 0 else 1.0
        yield _line(
            label,
            *_bar(fraction, room),
            (f"{fraction:>4.0%}  ", VALUE),
            (text(reached), VALUE),
            (f" of {text(limit)}", LABEL),
        )


def _bar(fraction: float, room: int) -> list[tuple[str, str]]:
    if room < MIN_BAR:
        return []
    done = int(fraction * room)
    return [("━" * done, BAR_DONE), ("━" * (room - done), BAR_LEFT), (" ", "")]


def _count(value: float) -> str:
    return format_count(int(value))


def _returns(progress: Progress, width: int) -> Iterator[Text]:
    evaluated = [(format_number(progress.episode_return), VALUE)]
    room = min(MAX_SPARKS, width - LABEL_WIDTH - 36)
    if len(progress.episode_returns) > 1 and room >= 4:
        evaluated.append(("  " + sparkline(progress.episode_returns, room), "green"))
    if progress.best_episode_return is not None:
        evaluated.append((f"  best {format_number(progress.best_episode_return)}", LABEL))
    if progress.stop.episode_return is not None:
        evaluated.append((f"  wanted {format_number(progress.stop.episode_return)}", LABEL))
    yield _line("return", *evaluated)
    yield _line(
        "in training",
        (format_number(progress.training_return), VALUE),
        (f"  {format_count(progress.episodes)} episodes", LABEL),
    )


def _flow(progress: Progress) -> Iterator[Text]:
    """How fast both sides go, how they are held in step, and who waits."""
    yield _line(
        "speed",
        (format_rate(progress.environment_steps_per_second), VALUE),
        (" env steps/s  ", LABEL),
        (format_rate(progress.learner_steps_per_second), VALUE),
        (" learner steps/s", LABEL),
    )
    ratio = [(format_number(progress.samples_per_insert), VALUE), (" samples per insert", LABEL)]
    if progress.wanted_samples_per_insert is not None:
        ratio.append((f", wanted {format_number(progress.wanted_samples_per_insert)}", LABEL))
    yield _line("replay", *ratio)
    if progress.bottleneck is not None:
        yield _line(
            "bottleneck",
            (progress.bottleneck, VALUE),
            (f"  takes {progress.bottleneck_share:.0%} of the time", LABEL),
        )
    if progress.agent_metrics:
        metrics = [
            part
            for name, value in progress.agent_metrics.items()
            for part in ((f"{name} ", LABEL), (f"{format_number(value)}  ", VALUE))
        ]
        yield _line("agent", *metrics)


def _roles(roles: Sequence[RoleStatus]) -> Iterator[Text]:
    """A row for each process; where there are many, those in one state share a row."""
    if len(roles) <= MAX_ROLE_ROWS:
        for role in roles:
            restarts = f"  {role.restarts} restarts" if role.restarts else ""
            yield _line(role.name, (role.state, VALUE), (f"  {role.detail}{restarts}", LABEL))
        return
    names: dict[str, list[str]] = {}
    for role in roles:
        names.setdefault(role.state, []).append(role.name)
    for state, those in names.items():
        shown = ", ".join(those[:MAX_ROLE_ROWS]) + (", ..." if len(those) > MAX_ROLE_ROWS else "")
        yield _line(f"{len(those)} roles", (state, VALUE), (f"  {shown}", LABEL))


def _line(label: str, *parts: tuple[str, str]) -> Text:
    return Text.assemble((f"{label:<{LABEL_WIDTH}} ", LABEL), *parts)
