"""Durations: text in files, seconds in Python."""

from __future__ import annotations

import copy
import re

import pytest
from pydantic import ValidationError

from greenroom_api import Checkpoint, Duration
from greenroom_api.values import DURATION_PATTERN


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("1h30m", 5400), ("1h5s", 3605), ("90s", 90), ("1m90s", 150)],
)
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert Duration(text) == seconds
    assert Checkpoint.model_validate({"interval": text}).interval == seconds


def test_a_duration_is_its_text_and_survives_copies() -> None:
    duration = Duration("1h90m")
    assert str(duration) == "1h90m"
    copied = copy.deepcopy(duration)
    assert (copied, str(copied)) == (duration, "1h90m")


@pytest.mark.parametrize(
    "text", ["", "0s", "5", "5 m", "m", "-5m", "1.5h", "5m1h", "5d", "5m\n", "00s", "5M"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"written like 30s, 5m or 1h30m\. Got: "):
        Duration(text)
    with pytest.raises(ValidationError, match=r"written like 30s, 5m or 1h30m\. Got: "):
        Checkpoint.model_validate({"interval": text})


def test_numbers_are_no_durations() -> None:
    with pytest.raises(ValidationError, match="Got: 300"):
        Checkpoint.model_validate({"interval": 300})


def test_the_pattern_is_one_that_go_reads_too() -> None:
    assert not re.search(r"\(\?[=!<]", DURATION_PATTERN), "RE2 has no look-around"


def test_models_dump_text() -> None:
    checkpoint = Checkpoint(interval=Duration("90s"))
    assert checkpoint.model_dump(mode="json")["interval"] == "90s"
    assert f"{checkpoint.interval}" == "90s"
