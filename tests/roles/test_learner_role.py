"""A learner with an actor and an evaluator in one process, over a real Reverb server."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from learner_tools import TOKEN, make_report, wait_until
from reverb_server import ReverbProcess, free_port
from role_tools import HOST, SOON, Role, tables_of
from small import experiment, parameters, run

from greenroom.errors import LearnerUnavailable
from greenroom.observability.records import read_metrics
from greenroom.replay.descriptions import tables_to_json
from greenroom.roles import actor as actor_module
from greenroom.roles import evaluator as evaluator_module
from greenroom.roles import reporting
from greenroom.roles.actor import run_actor
from greenroom.roles.evaluator import run_evaluator
from greenroom.roles.learner import UNROLL, LearnerOptions, run_learner
from greenroom.training.runs import Result
from greenroom.variables.journal import CountsJournal
from greenroom.variables.messages import ActorOrder
from greenroom.variables.remote import LearnerClient
from greenroom_api import RLExperiment

ENVIRONMENTS = 2


def small(environment_steps: int) -> RLExperiment:
    return experiment(
        actors={"environmentsPerActor": ENVIRONMENTS},
        evaluator={"episodes": 1, "interval": 200},
        stop={"environmentSteps": environment_steps},
    )


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(actor_module, "WAIT_SECONDS", 0.05)
    monkeypatch.setattr(actor_module, "REST_SECONDS", 0.05)
    monkeypatch.setattr(evaluator_module, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(reporting, "REPORT_SECONDS", 0.05)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def learning(what: RLExperiment, replay: int, port: int, directory: Path) -> tuple[Role, list[Any]]:
    """A learner, not started yet, and where its result goes."""
    results: list[Result] = []
    options = LearnerOptions(HOST, port, f"{HOST}:{replay}", directory)
    return Role(
        "learner", lambda context: results.append(run_learner(what, context, options))
    ), results


def test_roles_find_each_other_train_to_the_end_and_go_on(
    tmp_path: Path, reverb_process: ReverbProcess
) -> None:
    directory, port = tmp_path / "run", free_port()
    address = f"{HOST}:{port}"
    replay = reverb_process.start(tables_of(small(200)))

    def act(context: Any) -> None:
        run_actor(small(200), context, name="actor-0", replay=f"{HOST}:{replay}", learner=address)

    evaluator = Role(
        "evaluator", lambda context: run_evaluator(small(200), context, learner=address)
    )
    with Role("actor-0", act) as actor, evaluator:
        actor.wait_until_waiting("learner")
        limits = [200, 300]
        for limit in limits:  # the second learner goes on with the run of the first
            learner, results = learning(small(limit), replay, port, directory)
            with learner:
                learner.join(180.0)
                assert learner.error is None, learner.error
            (result,) = results
            assert (result.state, result.reason) == ("Succeeded", "EnvironmentStepsReached")
            assert limit <= result.environment_steps <= limit + UNROLL * ENVIRONMENTS
            assert parameters(directory)
            with CountsJournal(directory / "counts.jsonl") as journal:
                assert journal.counts.total.environment_steps == result.environment_steps
        wait_until(lambda: actor.status()["environmentSteps"] == result.environment_steps)
        for role in (actor, evaluator):
            role.check_that_it_keeps_the_secret()
    reverb_process.stop(replay)

    rows = list(read_metrics(directory))
    evaluated = [row["environmentSteps"] for row in rows if row["kind"] == "evaluation"]
    assert evaluated == sorted(evaluated)
    assert rows[-1]["learnerSteps"] == result.learner_steps > 0


def test_before_it_learns_a_learner_serves_tables_and_can_be_stopped(tmp_path: Path) -> None:
    what = small(10_000)
    replay = free_port()
    learner, results = learning(what, replay, free_port(), tmp_path / "run")
    with learner:
        learner.wait_until_waiting(f"replay server at {HOST}:{replay}")
        assert json.loads(learner.ask("/tables")[1]) == tables_to_json(tables_of(what))
        learner.check_that_it_keeps_the_secret("/tables", "/counts")
        assert learner.end() < SOON
    assert results[0].state == "Interrupted"
    assert list((tmp_path / "run" / "checkpoints").iterdir())


def test_the_first_actor_is_told_what_a_run_in_one_process_has_done(tmp_path: Path) -> None:
    directory, port = tmp_path / "run", free_port()
    run(directory, small(200))
    learner, _ = learning(small(1_000), free_port(), port, directory)
    orders: list[ActorOrder] = []

    def answered() -> bool:
        # A new client connects at once, so that it comes before the checkpoint is restored.
        with (
            contextlib.suppress(LearnerUnavailable),
            LearnerClient(f"{HOST}:{port}", TOKEN) as client,
        ):
            orders.append(client.report(make_report(environment_steps=20)))
        return bool(orders)

    with learner:
        wait_until(answered)
        # Now that it knows of an actor, and of what was trained.
        learner.check_that_it_keeps_the_secret("/tables", "/counts")
    assert orders[0].environment_steps == 220
    # Half of what is left, in whole unrolls: the other half is for who comes next.
    assert orders[0].steps_until_report == 390 // (UNROLL * ENVIRONMENTS) * UNROLL * ENVIRONMENTS
