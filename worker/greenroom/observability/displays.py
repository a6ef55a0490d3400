"""What a user sees of a run: a live panel on a terminal, plain lines elsewhere, or JSON.

::

    with contextlib.closing(make_display("auto")) as display:
        display.start(Header("cartpole", "dqn", "CartPole-v1", run_directory))
        while training:
            display.update(progress)             # as often as one likes
            display.event("checkpoint saved")
        display.finish(summary)
"""

from __future__ import annotations

import sys
from typing import Literal, Protocol, TypeAlias

from rich.console import Console

from greenroom.observability.lines import JsonLines, PlainLines
from greenroom.observability.live_panel import LivePanel
from greenroom.observability.progress import Header, Progress, Summary

__all__ = [
    "Display",
    "Header",
    "JsonLines",
    "Level",
    "LivePanel",
    "Mode",
    "PlainLines",
    "Silent",
    "Summary",
    "make_display",
]

Level: TypeAlias = Literal["info", "warning"]
Mode: TypeAlias = Literal["auto", "live", "plain", "json", "none"]


class Display(Protocol):
    """Shows one run. Nothing here changes the run, nor raises for a value it cannot show."""

    def start(self, header: Header) -> None:
        """Begin, before anything else is called."""

    def update(self, progress: Progress) -> None:
        """Take where the run is; shown when it is time to. Costs microseconds otherwise."""

    def event(self, message: str, level: Level = "info") -> None:
        """Show something that happened once: an evaluation, a checkpoint, a warning."""

    def finish(self, summary: Summary) -> None:
        """Show how the run ended, and close."""

    def close(self) -> None:
        """Leave the terminal as it was found, also where a run failed. May be called again."""


class Silent:
    """Shows nothing: for notebooks and for tests."""

    def start(self, header: Header) -> None: ...
    def update(self, progress: Progress) -> None: ...
    def event(self, message: str, level: Level = "info") -> None: ...
    def finish(self, summary: Summary) -> None: ...
    def close(self) -> None: ...


def make_display(mode: Mode) -> Display:
    """Return a display on standard output.

    Args:
        mode: "auto" is the live panel on a terminal that can draw it, and plain lines
            elsewhere (a file, a pipe, a dumb terminal, one without UTF-8).
    """
    match mode:
        case "live":
            return LivePanel(Console())
        case "plain":
            return PlainLines(sys.stdout)
        case "json":
            return JsonLines(sys.stdout)
        case "none":
            return Silent()
        case "auto":
            return make_display("live" if _can_draw(Console()) else "plain")


def _can_draw(console: Console) -> bool:
    return (
        console.is_terminal
        and not console.is_dumb_terminal
        and console.encoding.lower().startswith("utf")
    )
