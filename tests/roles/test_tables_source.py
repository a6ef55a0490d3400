"""Where replay learns of its tables, over real HTTP."""

from __future__ import annotations

import json
import logging
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from greenroom.errors import ConfigurationError, LearnerUnavailable
from greenroom.observability.endpoint import Endpoint
from greenroom.replay.descriptions import tables_to_json
from greenroom.replay.tables import Table
from greenroom.roles.tables import TablesSource
from greenroom.specs import ArraySpec

DESCRIPTION = tables_to_json([Table.queue("t", 8, ArraySpec((), np.dtype(np.float32)))])
COUNTS = {"learnerSteps": 500, "environmentSteps": 1000}

Routes = dict[str, Callable[[], object]]


class Learner:
    """What of the learner replay sees."""

    def __init__(self) -> None:
        self.routes: Routes = {}
        self.endpoint = Endpoint(
            "127.0.0.1",
            0,
            role="learner",
            registry=CollectorRegistry(),
            status=dict,
            routes=self.routes,
        )
        self.url = f"http://127.0.0.1:{self.endpoint.port}/tables"


@pytest.fixture
def learner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Learner]:
    # A proxy of the network must not come between the two.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert urllib.request.getproxies()["http"] == "http://127.0.0.1:1"
    learner = Learner()
    yield learner
    learner.endpoint.close()


def test_what_the_learner_says_is_kept_for_when_it_is_down(
    learner: Learner, tmp_path: Path
) -> None:
    source = TablesSource(learner.url, tmp_path / "replay")
    assert source.from_learner
    assert source.copy() is None
    with pytest.raises(LearnerUnavailable, match="/tables answered 404 Not Found"):
        source.read()
    learner.routes["/tables"] = lambda: DESCRIPTION
    assert source.read() == DESCRIPTION
    learner.endpoint.close()
    with pytest.raises(LearnerUnavailable, match="/tables does not answer: Connection refused"):
        source.read()
    assert source.copy() == DESCRIPTION
    assert TablesSource(learner.url, None).copy() is None


def test_a_learner_that_fails_is_waited_for(learner: Learner) -> None:
    learner.routes["/tables"] = lambda: object()  # no JSON
    with pytest.raises(LearnerUnavailable, match="answered 500 Internal Server Error"):
        TablesSource(learner.url, None).read()


def test_an_answer_that_is_no_description_is_refused(learner: Learner, tmp_path: Path) -> None:
    learner.routes["/tables"] = lambda: [1]
    source = TablesSource(learner.url, tmp_path)
    with pytest.raises(ConfigurationError, match=r"/tables: .* must be an object of version 1"):
        source.read()
    assert source.copy() is None


def test_a_copy_that_cannot_be_read_is_none(
    learner: Learner, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "tables.json").write_text('{"version": 1, ')
    with caplog.at_level(logging.WARNING):
        assert TablesSource(learner.url, tmp_path).copy() is None
    assert "the copy of the tables cannot be used" in caplog.text


def test_counts_are_the_learners_or_none(learner: Learner, tmp_path: Path) -> None:
    source = TablesSource(learner.url, None)
    assert source.counts() == {}  # it has not begun
    learner.routes["/counts"] = lambda: {**COUNTS, "detail": "1,000 steps"}
    assert source.counts() == COUNTS
    learner.routes["/counts"] = lambda: {"learnerSteps": None, "environmentSteps": 0}
    assert source.counts() == {}
    learner.endpoint.close()
    assert source.counts() == {}
    file = tmp_path / "tables.json"
    file.write_text(json.dumps(DESCRIPTION))
    assert TablesSource(str(file), None).counts() == {}


def test_a_file_needs_no_copy(tmp_path: Path) -> None:
    file = tmp_path / "described.json"
    file.write_text(json.dumps(DESCRIPTION))
    source = TablesSource(str(file), tmp_path / "replay")
    assert not source.from_learner
    assert source.read() == DESCRIPTION
    assert source.copy() is None
    assert not (tmp_path / "replay").exists()
