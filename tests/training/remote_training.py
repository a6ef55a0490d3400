"""A learner's side of a run as processes: its driver, or a whole training in a thread."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optree
import torch
from learner_tools import Running, make_report, wait_until
from learner_tools import running as learner_at
from role_tools import Role, tables_of, unlimited

from greenroom.core import Replay
from greenroom.learning.loop import LearningLoop
from greenroom.observability.run_directory import RunDirectory
from greenroom.randomness import numpy_generator, torch_seeded
from greenroom.replay.embedded import EmbeddedReplay
from greenroom.replay.tables import Table
from greenroom.roles.learner_status import LearnerDisplay
from greenroom.roles.serving import RoleContext
from greenroom.training.assembly import assemble_builder, make_learner
from greenroom.training.remote import RemoteDriver, RemoteEvaluations
from greenroom.training.runs import Result, Wiring, train
from greenroom.variables.messages import ActorOrder, EvaluationOrder, EvaluationReport
from greenroom_api import RLExperiment

CPU = torch.device("cpu")


def embedded(tables: Sequence[Table]) -> EmbeddedReplay:
    return EmbeddedReplay(tables, numpy_generator(0, "replay"))


def full(experiment: RLExperiment) -> EmbeddedReplay:
    """A replay from which batches come as fast as they are taken."""
    tables = unlimited(tables_of(experiment))
    replay = embedded(tables)
    fill(replay, tables[0], 200)
    return replay


def fill(replay: Replay, table: Table, count: int) -> None:
    """Write items of zeros."""
    items = optree.tree_map(
        lambda spec: np.zeros((count, *spec.shape), spec.dtype), table.signature
    )
    writer = replay.writer()
    writer.insert(table.name, items, np.ones(count))
    writer.flush(timeout=30.0)


@dataclass(frozen=True)
class Remote:
    """A driver, what it learns with, and the service that a test reports to."""

    learner: Running
    driver: RemoteDriver
    learning: LearningLoop
    wiring: Wiring

    def report(self, environment_steps: int, actor: str = "actor-0", **changes: Any) -> ActorOrder:
        """Report as an actor's process would."""
        report = make_report(actor, environment_steps=environment_steps, **changes)
        return self.learner.client.report(report)


@contextmanager
def remote(folder: Path, experiment: RLExperiment, replay: Replay) -> Iterator[Remote]:
    environment_spec, builder = assemble_builder(experiment)
    folder.mkdir(exist_ok=True)
    with learner_at(folder, environment_steps=experiment.spec.stop.environment_steps) as learner:
        dataset = builder.make_dataset(replay, CPU, prefetch=1, timeout=0.1)
        learning = LearningLoop(
            make_learner(experiment, builder, CPU), dataset, replay, learner.service
        )
        driver = RemoteDriver(learning, replay, dataset, learner.service)
        reported = learner.journal.counts.total.environment_steps
        evaluations = RemoteEvaluations(learner.service)
        wiring = Wiring(learning, driver, evaluations, environment_spec, reported)
        with closing(replay), closing(driver):
            yield Remote(learner, driver, learning, wiring)


class Trained:
    """A training in a thread, to which a test is the actor and the evaluator."""

    def __init__(self, made: Remote, role: Role, results: list[Result]) -> None:
        self.remote = made
        self.role = role
        self._results = results

    @property
    def learner_steps(self) -> int:
        """As its endpoint tells; -1 before it begins."""
        return self._steps("learnerSteps")

    @property
    def environment_steps(self) -> int:
        """As its endpoint tells; -1 before it begins."""
        return self._steps("environmentSteps")

    def _steps(self, name: str) -> int:
        status = self.role.status()
        return -1 if status["state"] == "starting" else int(status[name])

    def wait_for_steps_after(self, learner_steps: int) -> None:
        wait_until(lambda: self.learner_steps > learner_steps)

    def ordered(self) -> EvaluationOrder:
        """Wait for an evaluation to be ordered."""
        client = self.remote.learner.client
        wait_until(lambda: client.next_evaluation().due)
        return client.next_evaluation()

    def evaluated(self, order: EvaluationOrder, episode_return: float) -> None:
        """Report what came of it."""
        report = EvaluationReport(
            order.environment_steps, order.version, order.learner, (episode_return,), (1,)
        )
        self.remote.learner.client.report_evaluation(report)

    def leave(self, environment_steps: int) -> None:
        """Report as the only actor until it is told to leave, and leave."""
        wait_until(lambda: self.remote.report(environment_steps).stop)
        self.remote.report(environment_steps, leaving=True)

    def result(self) -> Result:
        self.role.join()
        if self.role.error is not None:
            raise self.role.error
        return self._results[0]


@contextmanager
def training(
    directory: Path, experiment: RLExperiment, replay: Replay, *, resume: bool = False
) -> Iterator[Trained]:
    """Train into ``directory``, as the learner's role does."""
    results: list[Result] = []
    with remote(directory, experiment, replay) as made:

        def run(context: RoleContext) -> None:
            display = LearnerDisplay(context, RunDirectory(directory), "small")
            display.attach(made.learner.service, made.learning)
            with torch_seeded(0, "test"):
                results.append(
                    train(
                        experiment,
                        made.wiring,
                        RunDirectory(directory),
                        resume=resume,
                        display=display,
                        request=context.stop,
                    )
                )

        with Role("learner", run) as role:
            yield Trained(made, role, results)


def stands_still(trained: Trained, seconds: float) -> bool:
    """Whether nothing is learned for so long."""
    before = trained.learner_steps
    time.sleep(seconds)
    return trained.learner_steps == before
