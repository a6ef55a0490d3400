"""An evaluator against a real learner's service: what it plays, for whom, and how it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from learner_tools import Running, silent_server, wait_until
from learner_tools import running as learner_at
from reverb_server import free_port
from role_tools import SOON, Endless, Role, parameters_of
from small import experiment

from greenroom.core import Variables
from greenroom.roles import evaluator as module
from greenroom.roles.evaluator import EvaluatorRole, run_evaluator
from greenroom.training.assembly import assemble_builder, make_player
from greenroom.variables.messages import EvaluationReport
from greenroom_api import RLExperiment

EPISODES = 3
QUICK = experiment(evaluator={"episodes": EPISODES})
ENDLESS = experiment(
    evaluator={"episodes": EPISODES}, environment={"factory": "role_tools:Endless"}
)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.02)
    Endless.may_end.clear()
    yield
    Endless.may_end.set()


def evaluating(learner: str | int, what: RLExperiment = QUICK) -> Role:
    """An evaluator, not started yet."""
    address = learner if isinstance(learner, str) else f"127.0.0.1:{learner}"
    return Role("evaluator", lambda context: run_evaluator(what, context, learner=address))


def publish(learner: Running, version: int, what: RLExperiment = QUICK) -> None:
    learner.service.publish(version, parameters_of(what))


def results(learner: Running) -> list[EvaluationReport]:
    """Wait for results."""
    found: list[EvaluationReport] = []

    def arrived() -> bool:
        found.extend(learner.service.evaluations.take_results())
        return bool(found)

    wait_until(arrived)
    return found


def silent_for(learner: Running) -> float:
    seconds = learner.service.evaluations.seen_seconds_ago()
    assert seconds is not None
    return seconds


def is_playing(role: Role) -> Callable[[], bool]:
    return lambda: str(role.status().get("detail")).startswith("playing, for step ")


# --- what is played -----------------------------------------------------------------------------


def test_it_plays_what_is_ordered_with_variables_that_are_new_enough(tmp_path: Path) -> None:
    with learner_at(tmp_path) as learner, evaluating(learner.service.port) as role:
        role.wait_until_ready()
        wait_until(lambda: role.status()["detail"] == "nothing to evaluate yet")
        learner.service.evaluations.request(environment_steps=100, version=5)
        time.sleep(0.1)  # several orders without any variables
        publish(learner, version=4)
        time.sleep(0.1)
        assert learner.service.evaluations.take_results() == []
        publish(learner, version=6)

        (result,) = results(learner)
        assert (result.environment_steps, result.version) == (100, 6)
        # The episodes that the same parameters play at this step in one process.
        assert (result.returns, result.lengths) == played_here(6, 100)
        wait_until(lambda: role.metrics()["greenroom_evaluator_evaluations_total"] == 1)
        mean = sum(result.returns) / EPISODES
        wait_until(lambda: role.status()["episodeReturn"] == pytest.approx(mean))
        time.sleep(0.1)
        assert learner.service.evaluations.take_results() == [], "it was ordered once"

        learner.service.evaluations.request(environment_steps=200, version=6)
        assert [report.environment_steps for report in results(learner)] == [200]


def played_here(version: int, environment_steps: int) -> Any:
    player = make_player(QUICK, assemble_builder(QUICK)[1])
    variables = Variables(version, parameters_of(QUICK))
    evaluation = player.play(variables, environment_steps, lambda: False)
    assert evaluation is not None
    return evaluation.returns, evaluation.lengths


def test_it_waits_for_a_learner_and_for_the_next_one(tmp_path: Path) -> None:
    port = free_port()
    with evaluating(port) as role:
        role.wait_until_waiting(f"waiting for the learner: The learner at 127.0.0.1:{port}")
        for step in (100, 200):
            with learner_at(tmp_path, port=port) as learner:
                role.wait_until_ready()
                publish(learner, version=1)
                learner.service.evaluations.request(step, version=1)
                assert [report.environment_steps for report in results(learner)] == [step]
            role.wait_until_waiting("waiting for the learner")


@pytest.mark.parametrize("heartbeat", [0.02, 3_600.0], ids=["it hears of it", "it plays on"])
def test_what_an_earlier_learner_wanted_is_not_the_next_ones(
    heartbeat: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", heartbeat)
    port = free_port()
    with evaluating(port, ENDLESS) as role:
        with learner_at(tmp_path, port=port) as earlier:
            publish(earlier, 8, ENDLESS)
            earlier.service.evaluations.request(environment_steps=100, version=8)
            wait_until(is_playing(role))
        with learner_at(tmp_path, port=port) as learner:
            # The same step and version again, of other parameters.
            publish(learner, 8, ENDLESS)
            if heartbeat < 1.0:
                wait_until(lambda: role.status()["detail"] == "nothing to evaluate yet")
                assert role.status()["evaluations"] == 0
                Endless.may_end.set()
            else:
                Endless.may_end.set()
                # It does hand over what it played, to a learner that has no use for it.
                wait_until(lambda: role.status()["evaluations"] == 1)
            assert learner.service.evaluations.take_results() == []
            learner.service.evaluations.request(environment_steps=100, version=8)
            (result,) = results(learner)
            assert result.learner == learner.client.next_evaluation().learner


def test_an_order_and_variables_of_two_learners_do_not_belong_together(tmp_path: Path) -> None:
    player = make_player(QUICK, assemble_builder(QUICK)[1])
    for folder in ("earlier", "later"):
        (tmp_path / folder).mkdir()
    with learner_at(tmp_path / "earlier") as earlier, learner_at(tmp_path / "later") as later:
        publish(earlier, version=8)
        publish(later, version=8)
        earlier.service.evaluations.request(environment_steps=100, version=8)
        # As if the learner were started again between its order and its variables.
        with Role(
            "evaluator",
            lambda context: EvaluatorRole(player, context, earlier.client, later.client).run(),
        ) as role:
            role.wait_until_ready()
            time.sleep(0.3)  # several orders
            assert role.status()["evaluations"] == 0
        assert earlier.client.next_evaluation().due


def test_while_it_plays_it_is_heard_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.1)
    with learner_at(tmp_path) as learner, evaluating(learner.service.port, ENDLESS) as role:
        publish(learner, 0, ENDLESS)
        learner.service.evaluations.request(environment_steps=100, version=0)
        wait_until(is_playing(role))
        for _ in range(3):
            wait_until(lambda: silent_for(learner) > 0.05)
            wait_until(lambda: silent_for(learner) < 0.05)
        assert is_playing(role)(), "a learner that is heard of wants it still"
        Endless.may_end.set()
        assert len(results(learner)) == 1


# --- ending --------------------------------------------------------------------------------------


def test_it_can_be_stopped_while_it_plays(tmp_path: Path) -> None:
    with learner_at(tmp_path) as learner, evaluating(learner.service.port, ENDLESS) as role:
        publish(learner, 0, ENDLESS)
        learner.service.evaluations.request(environment_steps=100, version=0)
        wait_until(is_playing(role))
        assert role.end() < SOON
        assert learner.service.evaluations.take_results() == []
        # The next evaluator is ordered the same.
        assert learner.client.next_evaluation().due


def test_it_can_be_stopped_while_nobody_takes_what_it_played(tmp_path: Path) -> None:
    port = free_port()
    with evaluating(port, ENDLESS) as role:
        with learner_at(tmp_path, port=port) as learner:
            publish(learner, 0, ENDLESS)
            learner.service.evaluations.request(environment_steps=100, version=0)
            wait_until(is_playing(role))
        Endless.may_end.set()
        role.wait_until_waiting("to take an evaluation")
        assert role.end() < SOON


@pytest.mark.parametrize("learner", ["away", "silent"])
def test_it_can_be_stopped_without_a_learner(learner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CALL_SECONDS", 0.3)
    with silent_server() as silent:
        address = silent if learner == "silent" else f"127.0.0.1:{free_port()}"
        with evaluating(address) as role:
            role.wait_until_waiting(f"The learner at {address} must answer within 0.3 s")
            assert role.end() < SOON
