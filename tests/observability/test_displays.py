"""What a user sees of a run."""

from __future__ import annotations

import io
import json
import math
import re
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from display_tools import EARLY, EVENTS, HEADER, PROGRESS, SUMMARY, Clock
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from greenroom.observability.displays import (
    Display,
    JsonLines,
    LivePanel,
    Mode,
    PlainLines,
    Silent,
    make_display,
)
from greenroom.observability.live_panel import REDRAW_SECONDS
from greenroom.observability.panel import MAX_WIDTH, Event, render_panel, save_panel_svg
from greenroom.observability.progress import Progress, StopLimits


def panel_text(progress: Progress, width: int, events: list[Event] = EVENTS) -> str:
    console = Console(file=io.StringIO(), width=width, record=True, force_terminal=True)
    console.print(render_panel(HEADER, progress, events, width))
    return console.export_text()


# --- the panel ----------------------------------------------------------------------------


@pytest.mark.parametrize("width", [60, 120])
def test_the_panel_says_it_all(width: int) -> None:
    text = panel_text(PROGRESS, width)
    for part in (
        "cartpole",
        "dqn on CartPole-v1",
        "runs/cartpole-1",
        "Running  0:42",
        "1:14 left at most",
        "21%  42,512 of 200,000",
        "7%  0:42 of 10:00",
        "21,120",
        "312.4",
        "▁▂▄█▆",
        "best 421",
        "wanted 475",
        "201.3  612 episodes",
        "2,134 env steps/s  1,067 learner steps/s",
        "31.87 samples per insert, wanted 32",
        "learner  takes 72% of the time",
        "epsilon 0.04",
        "━━━━━━",
        "evaluated at step 42,500",
    ):
        assert part in text
    if width >= MAX_WIDTH:
        assert "…" not in text


@pytest.mark.parametrize("width", [1, 10, 24, 40, 60, 88, 120, 300])
@pytest.mark.parametrize("progress", [PROGRESS, EARLY])
def test_the_panel_is_a_rectangle_of_equal_height_at_any_width(
    width: int, progress: Progress
) -> None:
    lines = panel_text(progress, width).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) == min(width, MAX_WIDTH)
    if width >= 10:
        assert len(lines) == len(panel_text(progress, 120).splitlines())


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(20, 130),
    number=st.floats(),
    steps=st.integers(0, 10**13),
    limit=st.integers(0, 10**13),
    returns=st.lists(st.floats(), max_size=40),
)
def test_no_value_breaks_the_panel(
    width: int, number: float, steps: int, limit: int, returns: list[float]
) -> None:
    progress = replace(
        PROGRESS,
        environment_steps=steps,
        episode_return=number,
        episode_returns=tuple(returns),
        samples_per_insert=number,
        training_return=number,
        stop=StopLimits(limit, limit, number, float(limit)),
        agent_metrics={"metric": number},
    )
    lines = panel_text(progress, width).splitlines()
    assert {len(line) for line in lines} == {min(width, MAX_WIDTH)}


def test_a_bar_grows_with_the_steps() -> None:
    def done(steps: int) -> int:
        progress = replace(EARLY, environment_steps=steps, stop=StopLimits(environment_steps=1_000))
        console = Console(file=io.StringIO(), width=88, record=True, force_terminal=True)
        console.print(render_panel(HEADER, progress))
        bar = next(line for line in console.export_text(styles=True).splitlines() if "━" in line)
        coloured = re.search(r"\x1b\[36m(━+)", bar)
        return len(coloured[1]) if coloured else 0

    lengths = [done(steps) for steps in (0, 250, 500, 1_000, 2_000)]
    assert lengths[0] == 0
    assert lengths == sorted(lengths)
    assert lengths[3] == lengths[4] == pytest.approx(2 * lengths[2], abs=1)


def test_markup_in_names_is_text() -> None:
    console = Console(file=io.StringIO(), width=88, record=True)
    header = replace(HEADER, experiment="[red]x[/]")
    console.print(render_panel(header, EARLY, [("0:00", "[bold]y[/nothing]")]))
    text = console.export_text()
    assert "[red]x[/]" in text
    assert "[bold]y[/nothing]" in text


def test_the_panel_is_saved_as_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "panel.svg"
    save_panel_svg(path, HEADER, PROGRESS, EVENTS)
    picture = ElementTree.parse(path).getroot()
    text = "".join(picture.itertext()).replace("\xa0", " ")
    assert picture.tag.endswith("svg")
    assert "42,512" in text
    assert "greenroom run cartpole" in text
    first = path.read_bytes()
    save_panel_svg(path, HEADER, PROGRESS, EVENTS)
    assert path.read_bytes() == first


# --- the live panel -------------------------------------------------------------------------


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, height=40)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_live_panel_is_drawn_only_when_it_is_time_to(console: Console) -> None:
    clock = Clock()
    display = LivePanel(console, clock)
    display.start(HEADER)
    display.update(PROGRESS)
    drawn = written(console)
    assert "42,512" in drawn
    display.update(replace(PROGRESS, environment_steps=43_000))
    assert written(console) == drawn
    clock.now += REDRAW_SECONDS
    display.update(replace(PROGRESS, environment_steps=44_000))
    assert "44,000" in written(console)
    assert "43,000" not in written(console)
    display.close()


def test_the_live_panel_shows_the_newest_events_and_the_end(console: Console) -> None:
    display = LivePanel(console, Clock())
    display.start(HEADER)
    display.update(PROGRESS)
    for number in range(10):
        display.event(f"event {number}")
    display.finish(SUMMARY)
    text = written(console)
    assert "event 9" in text
    assert "event 3" not in text
    assert "Succeeded" in text
    assert "an evaluation returned 480 of the wanted 475" in text
    assert "50,000" in text


def test_a_warning_stays_above_the_panel(console: Console) -> None:
    display = LivePanel(console, Clock())
    display.start(HEADER)
    display.event("the disk is [nearly] full", "warning")
    assert "warning: the disk is [nearly] full" in written(console)
    display.close()


def test_the_cursor_is_given_back_once(console: Console) -> None:
    display = LivePanel(console, Clock())
    display.close()
    display.start(HEADER)
    assert "\x1b[?25l" in written(console)
    display.update(PROGRESS)
    display.close()
    display.close()
    assert written(console).count("\x1b[?25h") == 1
    display.update(PROGRESS)


def test_a_low_terminal_keeps_the_panel_and_drops_events() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=19)
    display = LivePanel(console, Clock())
    display.start(HEADER)
    for number in range(4):
        display.event(f"event {number}")
    display.update(PROGRESS)
    text = written(console)
    assert "event 3" in text
    assert "event 2" not in text
    assert "runs/cartpole-1" in text
    display.close()


# --- lines ----------------------------------------------------------------------------------


def test_plain_lines_come_at_their_interval_and_are_aligned() -> None:
    clock, stream = Clock(), io.StringIO()
    display = PlainLines(stream, interval_seconds=10.0, clock=clock)
    display.start(HEADER)
    for seconds in range(31):
        clock.now = 100.0 + seconds
        steps = 10 ** (seconds // 10)
        display.update(replace(PROGRESS, environment_steps=steps, wall_seconds=60.0 * seconds))
    display.event("checkpoint saved")
    display.event("look out", "warning")
    display.finish(SUMMARY)
    start, *lines, event, warning, finish = stream.getvalue().splitlines()
    assert start == "cartpole: dqn on CartPole-v1, results in runs/cartpole-1"
    assert len(lines) == 4
    assert len({line.index("return") for line in lines}) == 1
    assert len({len(line) for line in lines}) == 1
    assert "1,000" in lines[3]
    assert (event, warning) == ("checkpoint saved", "warning: look out")
    assert finish.startswith("Succeeded: an evaluation returned 480 of the wanted 475; return 480 ")


def test_a_plain_line_of_a_run_that_just_began() -> None:
    stream = io.StringIO()
    PlainLines(stream).update(EARLY)
    assert "return        -" in stream.getvalue()
    assert "left" not in stream.getvalue()


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]


def test_json_lines_end_with_the_summary() -> None:
    clock, stream = Clock(), io.StringIO()
    display = JsonLines(stream, interval_seconds=1.0, clock=clock)
    display.start(HEADER)
    display.update(PROGRESS)
    display.update(PROGRESS)
    clock.now += 1.0
    display.update(PROGRESS)
    display.event("look out", "warning")
    display.finish(SUMMARY)
    start, *progress, event, summary = json_lines(stream.getvalue())
    assert start["kind"] == "start"
    assert start["runDirectory"] == "runs/cartpole-1"
    assert [line["kind"] for line in progress] == ["progress"] * 2
    assert progress[0]["environmentSteps"] == 42_512
    assert progress[0]["epsilon"] == 0.04
    assert event == {"kind": "event", "level": "warning", "message": "look out"}
    assert summary == SUMMARY.to_json()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_lines_are_valid_json_whatever_the_numbers(value: float) -> None:
    stream = io.StringIO()
    display = JsonLines(stream)
    display.update(
        replace(
            PROGRESS,
            episode_return=value,
            episode_returns=(value,),
            environment_steps_per_second=value,
            agent_metrics={"loss": value},
        )
    )
    display.event('quote " and\nnewline')
    display.finish(replace(SUMMARY, episode_return=value))
    progress, event, summary = json_lines(stream.getvalue())
    assert progress["loss"] is None
    assert progress["episodeReturn"] is None
    assert event["message"] == 'quote " and\nnewline'
    assert summary["episodeReturn"] is None


# --- choosing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("live", LivePanel), ("plain", PlainLines), ("json", JsonLines), ("none", Silent)],
)
def test_each_mode_has_its_display(mode: Mode, kind: type[Display]) -> None:
    assert isinstance(make_display(mode), kind)


class Terminal(io.TextIOWrapper):
    """A terminal of that encoding."""

    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "term", "kind"),
    [
        (Terminal("utf-8"), "xterm-256color", LivePanel),
        (Terminal("utf-8"), "dumb", PlainLines),
        (Terminal("ascii"), "xterm-256color", PlainLines),
        (io.StringIO(), "xterm-256color", PlainLines),
    ],
)
def test_auto_is_a_panel_only_where_it_can_be_drawn(
    stream: io.TextIOBase, term: str, kind: type[Display], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys, "stdout", stream)
    assert isinstance(make_display("auto"), kind)


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    display = make_display("none")
    display.start(HEADER)
    display.update(PROGRESS)
    display.event("event")
    display.finish(SUMMARY)
    display.close()
    assert capsys.readouterr() == ("", "")
