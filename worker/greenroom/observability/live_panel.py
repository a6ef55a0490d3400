"""The display for a terminal: the panel, drawn in place."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from rich.console import Console
from rich.live import Live
from rich.text import Text

from greenroom.observability.formatting import format_duration
from greenroom.observability.panel import MAX_ROLE_ROWS, STATE_STYLES, Event, render_panel
from greenroom.observability.progress import Header, Progress, Summary

REDRAW_SECONDS = 0.25
EVENTS = 4
PANEL_HEIGHT = 22  # lines of the panel with its events, at most


class LivePanel:
    """Draws the panel again a few times a second, whenever `update` finds it due.

    It is drawn by the caller's thread: between two calls nothing runs, so that the
    display takes no time from training but its own few milliseconds. Warnings are
    printed above the panel, where they stay.

    Args:
        console: a terminal.
        clock: seconds, ever growing.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._events: deque[Event] = deque(maxlen=EVENTS)
        self._header: Header | None = None
        self._live: Live | None = None
        self._progress: Progress | None = None
        self._next = -float("inf")

    def start(self, header: Header) -> None:
        """Begin to draw, at the first `update`."""
        self._header = header
        self._live = Live(console=self._console, auto_refresh=False)
        self._live.start()

    def update(self, progress: Progress) -> None:
        """Draw, if it is time to."""
        self._progress = progress
        if self._clock() >= self._next:
            self._draw(progress)
            # After drawing, so that a slow terminal takes no larger share of the time.
            self._next = self._clock() + REDRAW_SECONDS

    def event(self, message: str, level: str = "info") -> None:
        """Keep the message for the panel; print a warning above it."""
        if level == "info":
            elapsed = self._progress.wall_seconds if self._progress else 0.0
            self._events.append((format_duration(elapsed), message))
        else:
            self._console.print(Text(f"{level}: {message}", style="yellow"))

    def finish(self, summary: Summary) -> None:
        """Draw a last time, and say how the run ended."""
        if self._progress is not None:
            self._draw(
                replace(
                    self._progress,
                    state=summary.state,
                    environment_steps=summary.environment_steps,
                    learner_steps=summary.learner_steps,
                    wall_seconds=summary.wall_seconds,
                    episode_return=summary.episode_return,
                    eta_seconds=None,
                )
            )
        self.close()
        self._console.print(
            Text.assemble(
                (summary.state, STATE_STYLES.get(summary.state, "")),
                f": {summary.message}\nresults in {summary.run_directory}",
            )
        )

    def close(self) -> None:
        """Give the terminal back, cursor and all."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self, progress: Progress) -> None:
        if self._live is None or self._header is None:
            return
        # A panel taller than the terminal cannot be redrawn in place; events go first.
        height = PANEL_HEIGHT + (
            1 + min(len(progress.roles), MAX_ROLE_ROWS) if progress.roles else 0
        )
        room = max(0, EVENTS - max(0, height - self._console.height))
        events = list(self._events)[-room:] if room else []
        panel = render_panel(self._header, progress, events, self._console.width)
        self._live.update(panel, refresh=True)
