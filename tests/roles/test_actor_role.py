"""An actor against a real learner's service and a real Reverb server, without their processes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from learner_tools import Running, make_report, wait_until
from learner_tools import running as learner_at
from reverb_server import ReverbProcess, free_port
from role_tools import SOON, Role, parameters_of, tables_of, unlimited
from small import experiment

from greenroom.errors import AccessDenied
from greenroom.replay.reverb_client import ReverbReplay
from greenroom.roles import actor as module
from greenroom.roles import reporting
from greenroom.roles.actor import ActorRole, run_actor
from greenroom.training.assembly import assemble_environment
from greenroom.variables import grants
from greenroom.variables.service import LearnerService

ENVIRONMENTS = 2
SMALL = experiment(actors={"environmentsPerActor": ENVIRONMENTS})
TABLES = tables_of(SMALL)
(TABLE,) = TABLES
PARAMETERS = parameters_of(SMALL)
UNROLL = 20
ALLOWANCE = "the learner to allow more environment steps"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.05)
    monkeypatch.setattr(module, "REST_SECONDS", 0.05)
    monkeypatch.setattr(reporting, "REPORT_SECONDS", 0.05)
    monkeypatch.setattr(reporting, "RETRY_SECONDS", 0.02)
    # Who waited for the end of this would be noticed.
    monkeypatch.setattr(module, "FLUSH_SECONDS", 2 * SOON)
    # Nobody is taken for dead, however long a test takes.
    monkeypatch.setattr(grants, "LOST_SECONDS", 3_600.0)


@dataclass(frozen=True)
class Server:
    """A Reverb server, and how to see what is in it."""

    address: str
    replay: ReverbReplay

    def inserts(self) -> int:
        return self.replay.info()[TABLE.name].inserts

    def holds_back(self) -> bool:
        """Whether its limiter admits nothing more until somebody samples."""
        info = self.replay.info()[TABLE.name]
        return info.size > info.min_size and info.diff + info.samples_per_insert > info.max_diff


@contextmanager
def server_with(process: ReverbProcess, tables: Any) -> Iterator[Server]:
    port = process.start(tables)
    address = f"127.0.0.1:{port}"
    with closing(ReverbReplay(address, TABLES)) as replay:
        yield Server(address, replay)
    process.stop(port)


@pytest.fixture
def server(reverb_process: ReverbProcess) -> Iterator[Server]:
    """One that takes whatever comes."""
    with server_with(reverb_process, unlimited(TABLES)) as made:
        yield made


@pytest.fixture
def limited(reverb_process: ReverbProcess) -> Iterator[Server]:
    """One whose limiter admits little, as nobody samples."""
    with server_with(reverb_process, TABLES) as made:
        yield made


def acting(server: Server, port: int) -> Role:
    """An actor, not started yet."""

    def run(context: Any) -> None:
        run_actor(
            SMALL, context, name="actor-0", replay=server.address, learner=f"127.0.0.1:{port}"
        )

    return Role("actor-0", run)


def publish(learner: Running, version: int = 0) -> None:
    learner.service.publish(version, PARAMETERS)


def counted(learner: Running) -> int:
    return learner.journal.counts.total.environment_steps


def steps(role: Role) -> int:
    return int(role.status().get("environmentSteps", 0))


def detail(role: Role) -> str:
    return str(role.status()["detail"])


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name.startswith("greenroom")
    ]


def remains_true(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition()
        time.sleep(0.02)


# --- beginning -----------------------------------------------------------------------------


def test_it_waits_for_a_learner_and_for_its_variables_and_then_acts(
    tmp_path: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    with acting(server, port) as role:
        role.wait_until_waiting(f"learner at 127.0.0.1:{port}")
        assert role.status()["state"] == "waiting"
        with learner_at(tmp_path, port=port) as learner:
            role.wait_until_waiting("it has published none yet")
            assert steps(role) == 0
            publish(learner, version=3)
            role.wait_until_ready()
            assert role.status()["state"] == "acting"
            wait_until(lambda: counted(learner) > 0)
            wait_until(lambda: learner.service.actors()["actor-0"].report.version == 3)
            publish(learner, version=4)
            wait_until(lambda: learner.service.actors()["actor-0"].report.version == 4)
            assert role.metrics()["greenroom_actor_variables_version"] == 4
            role.end()
            # Each step is an item: all of them arrived, and were counted.
            report = learner.service.actors()["actor-0"].report
            assert report.leaving
            assert report.dropped_items == 0
            assert report.environment_steps == counted(learner) == steps(role)
            assert server.inserts() == counted(learner)
    assert warnings(caplog) == []


@pytest.mark.parametrize("until", ["a learner", "variables", "more steps"])
def test_it_can_be_stopped_while_it_waits(until: str, tmp_path: Path, server: Server) -> None:
    reasons = {"a learner": "learner", "variables": "published none yet", "more steps": ALLOWANCE}
    with learner_at(tmp_path, environment_steps=100) as learner:
        if until == "more steps":
            publish(learner)
            # The other actor holds all that is left.
            learner.client.report(make_report("actor-1", allowed_steps=1_000))
        port = free_port() if until == "a learner" else learner.service.port
        with acting(server, port) as role:
            role.wait_until_waiting(reasons[until])
            assert role.end() < SOON


def test_an_actor_that_was_started_again_and_one_of_a_resumed_run_play_other_episodes(
    tmp_path: Path, server: Server
) -> None:
    names = []

    def introduce(learner: Running) -> None:
        def run(context: Any) -> None:
            role = ActorRole(SMALL, context, "actor-0", learner.client)
            assert role.introduce() is not None
            names.append(role._seeds())

        with Role("actor-0", run) as role:
            role.join()
            assert role.error is None

    for folder in ("new", "resumed"):
        (tmp_path / folder).mkdir()
    with learner_at(tmp_path / "new") as learner:
        introduce(learner)
        introduce(learner)
        learner.journal.raise_to(environment_steps=500, episodes=5)
        introduce(learner)
    with learner_at(tmp_path / "resumed") as learner:
        learner.journal.raise_to(environment_steps=500, episodes=5)
        introduce(learner)

    assert names[0] == "actor-0", "as the actor of a run in one process"
    first = set()
    for name in names:
        environment, _ = assemble_environment(SMALL, name)
        first.add(environment.reset().tobytes())
        environment.close()
    assert len(first) == 4


# --- how far --------------------------------------------------------------------------------


def test_it_takes_no_more_steps_than_it_is_allowed(tmp_path: Path, server: Server) -> None:
    limit = 400
    with learner_at(tmp_path, environment_steps=limit, unroll_steps=UNROLL) as learner:
        publish(learner)
        held = learner.client.report(make_report("actor-1")).steps_until_report
        assert held == limit // 2
        with acting(server, learner.service.port) as role:
            # What is counted and what the other holds may exceed the limit by an unroll each.
            most = limit + 2 * UNROLL - held
            # A report that comes within an unroll may leave less than another one.
            wait_until(lambda: steps(role) > most - UNROLL)
            role.wait_until_waiting(ALLOWANCE)
            taken = steps(role)
            assert taken <= most
            remains_true(lambda: steps(role) == taken, seconds=0.6)
            wait_until(lambda: counted(learner) == taken)
            # The other gives back what it holds: there is more to do.
            learner.client.report(make_report("actor-1", leaving=True))
            wait_until(lambda: counted(learner) >= limit)
            role.wait_until_waiting("the end: the learner needs no more experience")
            wait_until(lambda: counted(learner) == steps(role))
            assert limit <= steps(role) <= limit + UNROLL
            role.end()


def test_without_a_learner_it_goes_as_far_as_it_was_allowed(tmp_path: Path, server: Server) -> None:
    limit = 4_000
    with learner_at(tmp_path, environment_steps=limit) as learner:
        publish(learner)
        with acting(server, learner.service.port) as role:
            wait_until(lambda: steps(role) > 0)
            learner.service.close()
            role.wait_until_waiting(ALLOWANCE)
            # Half of what was left, in whole unrolls, so that a part of one may be left.
            taken = steps(role)
            assert limit // 2 - UNROLL <= taken < limit
            remains_true(lambda: steps(role) == taken, seconds=0.3)
            assert role.end() < SOON


# --- resting and coming back -------------------------------------------------------------------


def test_told_to_stop_it_rests_and_comes_back_for_a_learner_that_wants_more(
    tmp_path: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    with learner_at(tmp_path, port=port) as learner:
        publish(learner)
        with acting(server, port) as role:
            role.wait_until_ready()
            learner.service.stop_actors()
            role.wait_until_waiting("the end: the learner needs no more experience")
            wait_until(lambda: learner.service.actors()["actor-0"].report.leaving)
            rested = steps(role)
            assert counted(learner) == rested
            learner.service.close()
            with learner_at_again(tmp_path, port, learner) as again:
                wait_until(lambda: steps(role) > rested)
                role.wait_until_ready()
                wait_until(lambda: not again.actors()["actor-0"].report.leaving)
                wait_until(lambda: counted(learner) > rested)
                role.end()
                assert counted(learner) == steps(role)
    assert warnings(caplog) == []


@contextmanager
def learner_at_again(folder: Path, port: int, learner: Running) -> Iterator[LearnerService]:
    """A learner's next process, with the same journal."""
    service = LearnerService(
        "127.0.0.1",
        port,
        learner.client.token,
        learner.journal,
        unroll_steps=UNROLL,
        environment_steps=None,
    )
    with closing(service):
        yield service


def test_a_learner_that_is_gone_at_the_end_is_no_warning(
    tmp_path: Path, limited: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    port = free_port()
    with acting(limited, port) as role:
        with learner_at(tmp_path, port=port) as learner:
            publish(learner)
            wait_until(limited.holds_back)
            wait_until(lambda: role.status()["pendingItems"] > 0)
            learner.service.stop_actors()
            wait_until(lambda: role.status()["state"] == "waiting")
            wait_until(lambda: learner.service.actors()["actor-0"].report.leaving)
            pending = role.status()["pendingItems"]
            assert pending > 0
            # They may be admitted still, if it goes on.
            assert learner.service.actors()["actor-0"].report.dropped_items == 0
        caplog.clear()
        wait_until(lambda: "a report did not arrive" in caplog.text)
        role.wait_until_waiting("the end: the learner needs no more experience")
        # What a training that is over did not take, it does not miss.
        assert role.end() < SOON
        assert f"{pending} items are dropped unconfirmed" in caplog.text
    assert warnings(caplog) == []


# --- what goes wrong ----------------------------------------------------------------------------


def test_reports_that_cannot_be_made_end_the_acting(
    tmp_path: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    with learner_at(tmp_path, port=port) as learner:
        publish(learner)
        with acting(server, port) as role:
            role.wait_until_ready()
            learner.service.close()
            stranger = LearnerService(
                "127.0.0.1",
                port,
                "the-token-of-another-run",
                learner.journal,
                unroll_steps=UNROLL,
                environment_steps=None,
            )
            with closing(stranger):
                role.join()
            assert isinstance(role.error, AccessDenied)
    assert "the last report did not arrive" in caplog.text


def test_what_the_limiter_does_not_take_in_time_is_dropped_counted_and_told(
    tmp_path: Path,
    limited: Server,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.5)
    with learner_at(tmp_path) as learner:
        publish(learner)
        with acting(limited, learner.service.port) as role:
            wait_until(limited.holds_back)
            before = role.metrics()["greenroom_actor_waiting_seconds_total"]
            wait_until(
                lambda: role.metrics()["greenroom_actor_waiting_seconds_total"] > before + 0.2
            )
            assert role.is_ready(), "a limiter that holds back is nothing wrong"
            assert 0.5 <= role.end() < SOON
            pending = role.status()["pendingItems"]
        assert pending > module.MAX_PENDING
        total = learner.journal.counts.total
        assert total.dropped_items == pending
        assert total.environment_steps == limited.inserts() + pending
        assert total.waiting_seconds > 0.0
        (warning,) = warnings(caplog)
        assert f"{pending} items are dropped unconfirmed: " in warning


def test_without_a_replay_server_it_waits_and_says_so_and_leaves_in_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.2)
    nowhere = Server(f"127.0.0.1:{free_port()}", None)  # type: ignore[arg-type]
    with learner_at(tmp_path) as learner:
        publish(learner)
        with acting(nowhere, learner.service.port) as role:
            role.wait_until_waiting(nowhere.address)
            assert role.metrics()["greenroom_actor_waiting_seconds_total"] == 0.0
            assert role.end() < SOON
        assert learner.journal.counts.total.dropped_items == counted(learner) > 0
        assert learner.service.actors()["actor-0"].report.leaving
