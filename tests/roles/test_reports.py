"""An actor's reports to a real learner's service: each count arrives, and counts once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from learner_tools import TOKEN, UNROLL, Running, full_disk, make_report, silent_server, wait_until
from learner_tools import running as learner_at

from greenroom.errors import AccessDenied, LearnerUnavailable
from greenroom.roles import reporting
from greenroom.roles.reporting import Reports
from greenroom.variables.remote import LearnerClient


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "RETRY_SECONDS", 0.02)


@contextmanager
def started(reports: Reports) -> Iterator[Reports]:
    reports.start()
    with closing(reports):
        yield reports


def steps(learner: Running) -> int:
    return learner.journal.counts.total.environment_steps


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [
        (record.levelno, record.getMessage())
        for record in caplog.records
        if record.name == reporting.__name__
    ]


def test_nothing_is_allowed_before_the_first_answer() -> None:
    with LearnerClient("127.0.0.1:1", TOKEN) as client:
        reports = Reports(client, make_report())
        assert (reports.standing, reports.allowed) == (None, 0)


def test_what_an_order_allows_is_told_with_the_next_report(tmp_path: Path) -> None:
    with learner_at(tmp_path, environment_steps=1_000) as learner:
        reports = Reports(learner.client, make_report(environment_steps=10))
        first = reports.send()
        assert first.counted == 10
        assert first.allowed == reports.allowed == 10 + first.order.steps_until_report > 10
        reports.put(make_report(environment_steps=10 + UNROLL))
        second = reports.send()
        assert second.order.environment_steps == second.counted == 10 + UNROLL
        # What of the first grant is left counts as this actor's until it knows of the second.
        assert learner.service.actors()["actor-0"].report.allowed_steps == first.allowed


def test_an_unacknowledged_report_is_sent_again_and_counts_once(tmp_path: Path) -> None:
    with learner_at(tmp_path) as learner:
        reports = Reports(learner.client, make_report())
        reports.send()
        with full_disk(learner.journal):
            reports.put(make_report(environment_steps=40, episodes=2))
            with pytest.raises(LearnerUnavailable):
                reports.send()
        assert reports.standing is not None
        assert reports.standing.counted == 0
        for _ in range(2):
            assert reports.send().counted == 40
        assert (steps(learner), learner.journal.counts.total.episodes) == (40, 2)


def test_reports_go_out_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "REPORT_SECONDS", 0.02)
    with learner_at(tmp_path) as learner:
        reports = Reports(learner.client, make_report())
        reports.send()
        with started(reports):
            for count in (40, 80):
                reports.put(make_report(environment_steps=count))
                wait_until(lambda count=count: steps(learner) == count)
        reports.put(make_report(environment_steps=120))
        time.sleep(0.1)
        assert steps(learner) == 80, "a report after close()"


def test_whoever_needs_more_does_not_wait_for_the_next_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "REPORT_SECONDS", 120.0)
    monkeypatch.setattr(reporting, "LONGEST_REPORT_SECONDS", 120.0)
    with learner_at(tmp_path, environment_steps=10_000) as learner:
        reports = Reports(learner.client, make_report())
        reports.send()
        with started(reports):
            reports.put(make_report(environment_steps=UNROLL))
            began = time.monotonic()
            reports.hurry(wait=60.0)
            assert time.monotonic() - began < 30.0
            assert reports.standing is not None
            assert reports.standing.counted == UNROLL


def test_whoever_needs_more_does_not_wait_for_a_silent_learner() -> None:
    with silent_server() as address, LearnerClient(address, TOKEN, timeout=4.0) as client:
        with started(Reports(client, make_report())) as reports:
            began = time.monotonic()
            reports.hurry(wait=0.1)
            assert 0.1 <= time.monotonic() - began < 3.5
            assert reports.standing is None
            began = time.monotonic()
        assert time.monotonic() - began < 30.0, "closing takes no longer than the call under way"


def test_a_learner_that_goes_and_comes_is_told_once_each_and_no_count_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(reporting, "REPORT_SECONDS", 0.02)
    with learner_at(tmp_path) as learner:
        address, port = learner.client.address, learner.service.port
        client = LearnerClient(address, TOKEN, timeout=20.0)
        reports = Reports(client, make_report())
        reports.send()
        reports.put(make_report(environment_steps=40))
        reports.send()
    with client, started(reports):
        wait_until(lambda: reports.error is not None)
        reports.put(make_report(environment_steps=70))
        time.sleep(0.1)  # several attempts
        with learner_at(tmp_path, port=port) as again:
            wait_until(lambda: steps(again) == 70)
            wait_until(lambda: reports.error is None)
            (lost, came) = said(caplog)
            assert lost[0] == logging.WARNING
            assert "a report did not arrive" in lost[1]
            assert address in lost[1]
            assert came == (logging.INFO, "reports arrive again")


@pytest.mark.parametrize("when", ["before it came", "after the end"])
def test_a_learner_that_need_not_be_there_is_no_warning(
    when: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with learner_at(tmp_path) as learner:
        client = LearnerClient(learner.client.address, TOKEN, timeout=20.0)
        reports = Reports(client, make_report())
        if when == "after the end":
            learner.service.stop_actors()
            assert reports.send().order.stop
    with client:
        for _ in range(2):
            with pytest.raises(LearnerUnavailable):
                reports.send()
    ((level, message),) = said(caplog)
    assert level == logging.INFO
    assert "a report did not arrive" in message


def test_whoever_acts_is_told_of_a_thread_that_broke(tmp_path: Path) -> None:
    with (
        learner_at(tmp_path) as learner,
        LearnerClient(learner.client.address, "another-token-than-this-runs") as client,
        started(Reports(client, make_report())) as reports,
    ):
        reports.hurry(wait=0.0)
        wait_until(lambda: "reports" not in [thread.name for thread in threading.enumerate()])
        with pytest.raises(AccessDenied):
            _ = reports.standing
        with pytest.raises(AccessDenied):
            _ = reports.allowed
