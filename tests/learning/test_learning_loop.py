"""The loop around a learner, where what stands behind replay is away."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import optree
import pytest
import torch
from reverb_server import free_port
from role_tools import tables_of, unlimited
from small import dqn, experiment

from greenroom.core import Replay
from greenroom.learning.loop import LearningLoop
from greenroom.randomness import numpy_generator
from greenroom.replay.embedded import EmbeddedReplay
from greenroom.replay.reverb_client import ReverbReplay
from greenroom.replay.reverb_client import replay as client
from greenroom.specs import Array
from greenroom.training.assembly import assemble_builder, make_learner
from greenroom.variables import LocalVariables

PRIORITIZED = experiment(agent=dqn(prioritized={}))


@dataclass
class GoesAway:
    """A replay here, whose priorities go to a server that is away while the test says so."""

    here: EmbeddedReplay
    server: ReverbReplay
    away: bool = True

    def update_priorities(self, table: str, keys: Array, priorities: Array) -> None:
        replay: Replay = self.server if self.away else self.here
        replay.update_priorities(table, keys, priorities)


def test_priorities_that_a_server_does_not_take_are_lost_and_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client, "_UPDATE_SECONDS", 0.1)
    tables = unlimited(tables_of(PRIORITIZED))
    _, builder = assemble_builder(PRIORITIZED)
    here = EmbeddedReplay(tables, numpy_generator(0, "replay"))
    _fill(here, tables[0].name, tables[0].signature)
    address = f"127.0.0.1:{free_port()}"
    device = torch.device("cpu")
    with closing(here), closing(ReverbReplay(address, tables)) as server:
        replay = GoesAway(here, server)
        dataset = builder.make_dataset(here, device, prefetch=0, timeout=1.0)
        learner = make_learner(PRIORITIZED, builder, device)
        loop = LearningLoop(learner, dataset, replay, LocalVariables())  # type: ignore[arg-type]
        for away, lost, told in [(True, 3, 1), (False, 3, 1), (True, 6, 2)]:
            replay.away = away
            before = loop.learner_steps
            for _ in range(3):
                loop.step()
            assert loop.learner_steps == before + 3, "learning goes on"
            assert loop.lost_priority_updates == lost
            warnings = [
                record.getMessage()
                for record in caplog.records
                if record.levelno == logging.WARNING
            ]
            assert len(warnings) == told, "once each time that it goes away"
            assert all("new priorities are lost" in text for text in warnings)
            assert all(address in text for text in warnings)


def _fill(replay: EmbeddedReplay, table: str, signature: Any) -> None:
    items: Mapping[str, Any] = optree.tree_map(
        lambda spec: np.zeros((50, *spec.shape), spec.dtype), signature
    )
    replay.writer().insert(table, items, np.ones(50))
