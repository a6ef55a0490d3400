"""docs/metrics.md lists what each role exposes, and nothing else."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from learner_tools import TOKEN, wait_until
from prometheus_client import CollectorRegistry
from remote_training import full, training
from role_tools import HOST, Role
from small import experiment

from greenroom.roles.actor import ActorRole
from greenroom.roles.evaluator import EvaluatorRole
from greenroom.roles.lifetime import RoleStop
from greenroom.roles.log_shipping import log_shipped
from greenroom.roles.replay import ReplayOptions, ReplayRole
from greenroom.training.signals import StopRequest
from greenroom.variables.remote import LearnerClient

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
ANY: Any = None


def listed(role: str) -> set[str]:
    sections = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n?)*)", PAGE.read_text(), re.MULTILINE))
    return set(re.findall(r"^\| `(greenroom_\w+)` \|", sections[role], re.MULTILINE))


def exposed(registry: CollectorRegistry) -> set[str]:
    return {
        family.name + ("_total" if family.type == "counter" else "")
        for family in registry.collect()
        if family.name.startswith("greenroom_")
    }


@pytest.fixture
def role() -> Role:
    """A role that does nothing, with the endpoint and registry of every role."""
    return Role("role", lambda _: None)


def test_learner(tmp_path: Path) -> None:
    endless = experiment(
        stop={"environmentSteps": 10**6}, checkpoint={"interval": "1s"}, evaluator={"interval": 100}
    )
    with training(tmp_path / "run", endless, full(endless)) as trained:
        remote = trained.remote
        remote.report(1_050, episodes=1, recent_returns=(1.0,), version=0)
        began = time.monotonic()
        order = trained.ordered()
        trained.evaluated(order, 1.0)

        def all_known() -> bool:
            seconds = time.monotonic() - began
            remote.report(1_050 + int(2_000 * seconds), episodes=1, acting_seconds=seconds)
            known = exposed(trained.role.context.registry) >= listed("Learner")
            return (
                known and 'greenroom_agent_metric{metric="loss"}' in trained.role.ask("/metrics")[1]
            )

        wait_until(all_known, seconds=60.0)
        metrics = trained.role.metrics()
        assert metrics["greenroom_episode_return"] == 1.0
        assert metrics["greenroom_actors_reporting"] == 1
        assert exposed(trained.role.context.registry) == listed("Learner") | listed("Every role")
        text = trained.role.ask("/metrics")[1]
        assert 'greenroom_learner_state{state="training"} 1.0' in text
        assert 'greenroom_learner_state{state="finished"} 0.0' in text
        assert 'greenroom_agent_metric{metric="loss"}' in text


def test_actor(role: Role) -> None:
    with LearnerClient(f"{HOST}:1", TOKEN) as client:
        ActorRole(experiment(), role.context, "x-actors-1", client)
        assert exposed(role.context.registry) == listed("Actor") | listed("Every role")
    role.context.close()


def test_evaluator(role: Role) -> None:
    made = EvaluatorRole(ANY, role.context, ANY, ANY)
    made._last_return = 1.0
    with log_shipped("evaluator", f"{HOST}:1", TOKEN, role.context.registry):
        assert exposed(role.context.registry) == listed("Evaluator") | listed("Every role")
    role.context.close()


def test_replay(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    options = ReplayOptions("tables.json", 1, HOST, 0, tmp_path, 300.0)
    ReplayRole(options, RoleStop(StopRequest()), registry)
    with log_shipped("replay", f"{HOST}:1", TOKEN, registry):
        # Readiness is the endpoint's, which is made when it runs.
        assert exposed(registry) == listed("Replay")
