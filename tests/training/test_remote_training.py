"""Learning from actors and evaluators elsewhere: what counts, what is waited for, how it ends."""

from __future__ import annotations

import json
import logging
import re
import shutil
import threading
import time
from pathlib import Path

import pytest
from learner_tools import wait_until
from remote_training import embedded, fill, full, remote, stands_still, training
from reverb_server import free_port
from role_tools import tables_of
from small import experiment, run

from greenroom.errors import GreenroomError
from greenroom.learning.checkpoints import newest_written
from greenroom.observability.records import read_metrics
from greenroom.observability.run_directory import RunDirectory
from greenroom.replay.reverb_client import ReverbReplay
from greenroom.training import remote as module
from greenroom.training.drivers import Bottleneck, Limits
from greenroom.training.remote import NO_REPLAY, RemoteEvaluations

ENDLESS = {"learnerSteps": 10**9}


def never() -> bool:
    return False


def after(seconds: float):
    """A function that says for so long that nobody interrupts."""
    deadline = time.monotonic() + seconds
    return lambda: time.monotonic() >= deadline


# --- the driver ----------------------------------------------------------------------------------


def test_it_learns_to_a_limit_and_publishes_what_it_learned(tmp_path: Path) -> None:
    small = experiment()
    with remote(tmp_path, small, full(small)) as made:
        for limit in (5, 12):
            made.driver.advance(Limits(learner_steps=limit), never)
            assert made.learning.learner_steps == limit
            newest = made.learner.client.get_variables(newer_than=-1)
            assert newest is not None
            assert newest.version == limit
            for name, value in made.learning.learner.variables().items():
                assert newest.values[name].equal(value)
        made.driver.advance(Limits(learner_steps=100), lambda: True)
        assert made.learning.learner_steps == 12
        assert made.driver.why_waiting() is None


def test_only_what_was_reported_counts_and_only_between_calls(tmp_path: Path) -> None:
    small = experiment()
    with remote(tmp_path, small, full(small)) as made:
        made.driver.advance(Limits(learner_steps=3), never)
        assert made.driver.environment_steps == 0, "whatever replay holds"
        made.report(40)
        made.report(30, actor="actor-1")
        made.report(40)
        assert made.driver.environment_steps == 0, "it stands still until the next call"
        # It has been reached already, so that nothing is learned.
        made.driver.advance(Limits(environment_steps=70), never)
        assert made.driver.environment_steps == 70
        assert made.learning.learner_steps == 3
        assert made.driver.state()["actor"]["environment_steps"] == 70


def test_it_learns_until_enough_was_reported(tmp_path: Path) -> None:
    small = experiment()
    with remote(tmp_path, small, full(small)) as made:

        def report() -> None:
            wait_until(lambda: made.learning.learner_steps >= 5)
            made.report(100)

        actor = threading.Thread(target=report)
        actor.start()
        made.driver.advance(Limits(environment_steps=100), never)
        actor.join()
        assert made.driver.environment_steps == 100
        assert made.learning.learner_steps >= 5


def test_episodes_are_those_reported_each_once(tmp_path: Path) -> None:
    small = experiment()
    with remote(tmp_path, small, full(small)) as made:
        assert (made.driver.episodes.episodes, made.driver.episodes.mean_return()) == (0, None)
        for _ in range(2):
            made.report(10, episodes=2, recent_returns=(1.0, 3.0))
        assert made.driver.episodes.mean_return() == 2.0
        made.report(20, episodes=3, recent_returns=(1.0, 3.0, 8.0))
        assert (made.driver.episodes.episodes, made.driver.episodes.mean_return()) == (3, 4.0)


def test_a_limiter_that_holds_back_is_told_and_is_no_failure(tmp_path: Path) -> None:
    small = experiment()
    tables = tables_of(small)
    replay = embedded(tables)
    with remote(tmp_path, small, replay) as made:
        too_late = after(30.0)
        made.driver.advance(
            Limits(learner_steps=1),
            lambda: made.driver.why_waiting() is not None or too_late(),
        )
        why = made.driver.why_waiting()
        assert why is not None
        assert "100" in why, "the limiter's own words: how many items it wants"
        assert made.learner.client.get_variables(-1) is not None, "actors need them to begin"
        fill(replay, tables[0], 110)
        made.driver.advance(Limits(learner_steps=1), after(60.0))
        assert made.learning.learner_steps == 1
        assert made.driver.why_waiting() is None


def test_a_replay_server_that_is_away_is_told_in_its_clients_words(tmp_path: Path) -> None:
    small = experiment()
    address = f"127.0.0.1:{free_port()}"
    with remote(tmp_path, small, ReverbReplay(address, tables_of(small))) as made:
        too_late = after(60.0)
        made.driver.advance(
            Limits(learner_steps=1),
            lambda: address in (made.driver.why_waiting() or "") or too_late(),
        )
        why = made.driver.why_waiting()
        assert why is not None
        assert f"replay server at {address}" in why
        assert made.driver.replay_info() is None
        assert made.learning.learner_steps == 0


def test_the_state_of_the_table_is_asked_for_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INFO_SECONDS", 0.02)
    small = experiment()
    with remote(tmp_path, small, full(small)) as made:
        wait_until(lambda: made.driver.replay_info() is not None)
        made.driver.advance(Limits(learner_steps=4), never)
        wait_until(lambda: made.driver.replay_info().samples >= 4 * 8)
        assert made.driver.replay_info().inserts == 200


def test_the_side_that_the_other_waits_for_is_the_bottleneck(tmp_path: Path) -> None:
    small = experiment()
    tables = tables_of(small)
    with remote(tmp_path, small, embedded(tables)) as made:
        assert made.driver.bottleneck() is None
        made.report(10, acting_seconds=1.0)
        made.driver.advance(Limits(learner_steps=1), after(0.3))  # no batch comes
        side = made.driver.bottleneck()
        assert side == Bottleneck("actor", 1.0)
    (tmp_path / "other").mkdir()
    with remote(tmp_path / "other", small, full(small)) as made:
        assert made.driver.bottleneck() is None
        made.report(10, acting_seconds=1.0, waiting_seconds=9.0)
        time.sleep(0.01)
        assert made.driver.bottleneck() == Bottleneck("learner", 1.0)  # never waited


# --- the end -------------------------------------------------------------------------------------


def test_the_end_waits_for_those_who_leave_and_not_for_the_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 2.0)
    small = experiment()
    with remote(tmp_path, small, full(small)) as made:
        made.report(100, actor="silent")
        made.report(100)

        def leave() -> None:
            steps = 100
            while not made.report(steps).stop:
                time.sleep(0.02)
            for _ in range(8):  # longer than the other is silent, and then some
                steps += 10
                made.report(steps)
                time.sleep(0.3)
            made.report(steps + 7, leaving=True)

        actor = threading.Thread(target=leave)
        actor.start()
        began = time.monotonic()
        made.driver.finish()
        took = time.monotonic() - began
        actor.join()
        assert made.driver.environment_steps == 100 + 187
        assert 2.4 <= took < module.STOP_SECONDS


def test_the_end_does_not_wait_for_ever_for_an_actor_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.3)
    monkeypatch.setattr(module, "SILENT_SECONDS", 60.0)
    small = experiment()
    with remote(tmp_path, small, full(small)) as made:
        made.report(10)
        began = time.monotonic()
        made.driver.finish()
        assert 0.3 <= time.monotonic() - began < 30.0
        assert made.driver.environment_steps == 10


def test_a_return_that_the_last_parameters_do_not_confirm_is_none(
    tmp_path: Path,
) -> None:
    small = experiment(stop={"episodeReturn": 10.0}, evaluator={"episodes": 1, "interval": 500})
    with training(tmp_path / "run", small, full(small)) as trained:
        trained.remote.report(500)
        asked = trained.ordered()
        assert asked.environment_steps == 500
        trained.wait_for_steps_after(asked.version)
        trained.evaluated(asked, 10.0)

        wait_until(lambda: trained.ordered().version > asked.version)
        confirming = trained.ordered()
        assert confirming.environment_steps == 500
        assert stands_still(trained, 0.2)
        assert trained.learner_steps == confirming.version
        trained.evaluated(confirming, 1.0)
        trained.wait_for_steps_after(confirming.version)

        trained.remote.report(1_000)
        asked = trained.ordered()
        trained.wait_for_steps_after(asked.version)
        trained.evaluated(asked, 10.0)
        wait_until(lambda: trained.ordered().version > asked.version)
        confirming = trained.ordered()
        trained.evaluated(confirming, 11.0)
        trained.leave(1_007)
        result = trained.result()

    assert (result.state, result.reason) == ("Succeeded", "EpisodeReturnReached")
    assert (result.environment_steps, result.learner_steps) == (1_007, confirming.version)
    assert result.episode_return == 11.0
    rows = [row for row in read_metrics(tmp_path / "run") if row["kind"] == "evaluation"]
    assert [row["episodeReturn"] for row in rows] == [10.0, 1.0, 10.0, 11.0]
    assert rows[-1]["learnerSteps"] == result.learner_steps


@pytest.mark.parametrize(
    "stop",
    # The last one where an evaluation is due in any case.
    [{"learnerSteps": 20}, {"environmentSteps": 400}, {"environmentSteps": 500}],
    ids=["learner steps", "environment steps", "the evaluator's interval"],
)
def test_a_learner_that_is_killed_in_the_last_evaluation_does_not_learn_again(
    tmp_path: Path, stop: dict[str, int]
) -> None:
    small = experiment(stop=stop, evaluator={"episodes": 1, "interval": 500})
    steps = stop.get("environmentSteps", 60)
    with training(tmp_path / "run", small, full(small)) as trained:
        trained.wait_for_steps_after(19)
        trained.remote.report(steps)
        order = trained.ordered()
        assert order.environment_steps in (0, steps)
        wait_until(lambda: newest_learner_steps(tmp_path / "run") == order.version)
        # What SIGKILL would leave at this moment.
        shutil.copytree(tmp_path / "run", tmp_path / "killed")
        trained.evaluated(order, 1.0)
        trained.leave(steps)
        assert trained.result().learner_steps == order.version

    with training(tmp_path / "killed", small, full(small), resume=True) as trained:
        again = trained.ordered()
        assert again.version == trained.learner_steps == order.version
        assert stands_still(trained, 0.2)
        trained.evaluated(again, 2.0)
        trained.leave(steps)
        result = trained.result()
        assert (result.learner_steps, result.environment_steps) == (order.version, steps)
        assert result.episode_return == 2.0


def newest_learner_steps(directory: Path) -> int | None:
    """Of the newest checkpoint, None without one."""
    manifests = sorted((directory / "checkpoints").glob("[!.]*/manifest.json"))
    if not manifests:
        return None
    return int(json.loads(manifests[-1].read_text())["counts"]["learnerSteps"])


def test_without_an_evaluator_the_end_fails_with_a_checkpoint_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = experiment(stop={"learnerSteps": 20})
    with training(tmp_path / "run", small, full(small)) as trained:
        wait_until(lambda: "an evaluator: none has asked yet" in str(trained.role.status()))
        monkeypatch.setattr(module, "EVALUATOR_SECONDS", 0.1)
        with pytest.raises(GreenroomError, match="needs an evaluator") as failed:
            trained.result()
    directory = RunDirectory(tmp_path / "run")
    summary = directory.read_summary()
    assert summary is not None
    assert (summary.state, summary.message) == ("Failed", str(failed.value))
    assert list(directory.checkpoints.iterdir())


def test_an_evaluator_that_was_heard_of_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = experiment()
    with remote(tmp_path, small, full(small)) as made:
        evaluations = RemoteEvaluations(made.learner.service)
        evaluations.request(10, 0)
        made.learner.client.next_evaluation()
        assert evaluations.take(never, wait=0.1) == []
        said = evaluations.why_waiting() or ""
        assert re.fullmatch(r"the evaluator, last heard of \d+ s ago", said), said
        assert evaluations.take(lambda: True, wait=60.0) == [], "asked to stop"
        monkeypatch.setattr(module, "EVALUATOR_SECONDS", 0.1)
        with pytest.raises(GreenroomError, match=r"within 0\.1 s\. Got: none heard of for"):
            evaluations.take(never, wait=5.0)


# --- what is shown -------------------------------------------------------------------------------


def test_a_learner_is_ready_once_it_learns_and_shows_what_it_does(tmp_path: Path) -> None:
    small = experiment(stop=ENDLESS)
    tables = tables_of(small)
    replay = embedded(tables)
    with training(tmp_path / "run", small, replay) as trained:
        role = trained.role
        role.wait_until_waiting("100")  # items that the limiter wants first
        assert role.status()["state"] == "training"
        assert "waits for" in role.status()["detail"]
        fill(replay, tables[0], 110)
        role.wait_until_ready()
        trained.wait_for_steps_after(0)
        trained.remote.report(30, episodes=1, recent_returns=(30.0,), version=2, dropped_items=4)
        wait_until(lambda: role.status()["environmentSteps"] == 30)
        status = role.status()
        assert status["progress"]["training_return"] == 30.0
        assert status["actors"]["actor-0"]["environmentSteps"] == 30
        assert status["actors"]["actor-0"]["version"] == 2
        metrics = role.metrics()
        assert metrics["greenroom_environment_steps_total"] == 30
        # Read after it, of a learner that may go on.
        assert metrics["greenroom_learner_steps_total"] >= status["learnerSteps"] > 0
        assert metrics["greenroom_actors_dropped_items_total"] == 4
        assert metrics["greenroom_learner_lost_priority_updates_total"] == 0


# --- going on in the other mode ------------------------------------------------------------------


def test_a_run_as_processes_goes_on_in_one_with_all_that_was_reported(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    small = experiment(stop=ENDLESS, evaluator={"episodes": 1, "interval": 10_000})
    with training(directory, small, full(small)) as trained:
        trained.remote.report(600)
        wait_until(lambda: trained.environment_steps == 600)
        trained.role.ask_to_stop()
        interrupted = trained.result()
        assert (interrupted.state, interrupted.environment_steps) == ("Interrupted", 600)
        newest = newest_written(directory / "checkpoints")
        assert newest is not None
        assert newest.environment_steps == 600
        trained.remote.report(640)  # after the checkpoint

    here = run(directory, experiment(stop={"environmentSteps": 630}), resume=True)
    # Nothing is left to do: the journal knows of more than the checkpoint.
    assert (here.state, here.environment_steps) == ("Succeeded", 640)
    assert here.learner_steps == interrupted.learner_steps


def test_a_run_in_one_process_goes_on_as_processes_without_its_replay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "run"
    here = run(directory, experiment(stop={"environmentSteps": 300}))
    small = experiment(stop=ENDLESS)
    with training(directory, small, full(small), resume=True) as trained:
        trained.wait_for_steps_after(here.learner_steps)
        assert trained.environment_steps == 300
        assert trained.remote.report(50).environment_steps == 350
        wait_until(lambda: trained.environment_steps == 350)
        trained.role.ask_to_stop()
        assert trained.result().environment_steps == 350
    warnings = [
        record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING
    ]
    assert [NO_REPLAY in warning for warning in warnings] == [True]
