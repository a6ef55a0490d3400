"""The learner: trains, counts, serves parameters, and owns the run directory."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from greenroom.core import AgentBuilder
from greenroom.learning.checkpoints import newest_environment_steps
from greenroom.learning.loop import LearningLoop
from greenroom.observability.displays import Level
from greenroom.observability.progress import Header, Progress, Summary
from greenroom.observability.run_directory import RunDirectory
from greenroom.randomness import torch_seeded
from greenroom.replay.descriptions import tables_to_json
from greenroom.replay.reverb_client import ReverbReplay
from greenroom.replay.tables import Table
from greenroom.roles import settings
from greenroom.roles.serving import RoleContext
from greenroom.spaces import EnvironmentSpec
from greenroom.training.assembly import assemble_builder, choose_device, make_learner
from greenroom.training.remote import RemoteDriver, RemoteEvaluations
from greenroom.training.results import Result, header
from greenroom.training.runs import Wiring, train
from greenroom.variables.journal import CountsJournal
from greenroom.variables.service import LearnerService
from greenroom_api import RLExperiment

logger = logging.getLogger(__name__)

# Vector steps of one unroll: how far each actor may overshoot the last environment step.
UNROLL = 20
# The longest that one wait for a batch goes on before it is looked whether to stop.
BATCH_SECONDS = 0.2
# Batches that are ready while one is learned from.
PREFETCH_BATCHES = 1
# Items on their way from the server meanwhile; the limiter counts them as sampled.
PREFETCH_ITEMS = 256


@dataclass(frozen=True)
class LearnerOptions:
    """Where the learner is and what it talks to.

    Attributes:
        host, port: where its service listens.
        replay: HOST:PORT of the Reverb server.
        run_directory: where it leaves everything; a run that is there already goes on.
    """

    host: str
    port: int
    replay: str
    run_directory: Path


def run_learner(experiment: RLExperiment, context: RoleContext, options: LearnerOptions) -> Result:
    """Train to the end, or until asked to stop; go on with what the run directory holds.

    Raises:
        ConfigurationError: the environment cannot be made, the agent does not fit it, or the
            address is not free.
        CheckpointError, RunDirectoryError: the run directory cannot be used.
        TrainingDiverged: training cannot go on; the newest checkpoint stands.
    """
    spec = experiment.spec
    torch.set_num_threads(spec.learner.torch_threads)
    device = choose_device(spec.learner.device)
    environment_spec, builder = assemble_builder(experiment)
    tables = builder.make_tables(spec.replay, spec.actors.environments_per_actor)
    context.route("/tables", tables_to_json(tables))
    directory = RunDirectory.at(options.run_directory)
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch_seeded(spec.seed, "torch"))
        stack.enter_context(directory.locked("learner"))
        journal = stack.enter_context(CountsJournal(directory.counts))
        # Before actors can ask how far they may go: a run in one process keeps no journal.
        journal.raise_to(newest_environment_steps(directory.checkpoints), episodes=0)
        service = stack.enter_context(
            contextlib.closing(_serve(experiment, context, options, journal))
        )
        replay = stack.enter_context(contextlib.closing(_replay(options.replay, tables)))
        wiring = _wire(experiment, builder, environment_spec, device, replay, service)
        stack.enter_context(contextlib.closing(wiring.driver))
        display = LearnerDisplay(context, service, wiring.learning)
        display.start(header(experiment, directory))
        result = train(
            experiment,
            wiring,
            directory,
            resume=directory.begun,
            display=display,
            request=context.stop,
        )
    return result


def _replay(address: str, tables: Sequence[Table]) -> ReverbReplay:
    # What is taken out of a queue ahead of time is only older when it is learned from.
    queues = any(table.max_times_sampled for table in tables)
    return ReverbReplay(address, tables, prefetch=0 if queues else PREFETCH_ITEMS)


def _serve(
    experiment: RLExperiment, context: RoleContext, options: LearnerOptions, journal: CountsJournal
) -> LearnerService:
    spec = experiment.spec
    service = LearnerService(
        options.host,
        options.port,
        context.token,
        journal,
        actors=spec.actors.replicas,
        unroll_steps=UNROLL * spec.actors.environments_per_actor,
        environment_steps=spec.stop.environment_steps,
    )
    logger.info("serving parameters on %s:%d", options.host, service.port)
    return service


def _wire(
    experiment: RLExperiment,
    builder: AgentBuilder,
    environment_spec: EnvironmentSpec,
    device: torch.device,
    replay: ReverbReplay,
    service: LearnerService,
) -> Wiring:
    dataset = builder.make_dataset(replay, device, prefetch=PREFETCH_BATCHES, timeout=BATCH_SECONDS)
    learner = make_learner(experiment, builder, device)
    learning = LearningLoop(learner, dataset, replay, service)
    driver = RemoteDriver(learning, replay, dataset, service)
    reported = service.counts.counts.total.environment_steps
    return Wiring(learning, driver, RemoteEvaluations(service), environment_spec, reported)


class LearnerDisplay:
    """What is shown of training where nobody watches: its status, its metrics and its log."""

    def __init__(
        self, context: RoleContext, service: LearnerService, learning: LearningLoop
    ) -> None:
        self._context = context
        self._service = service
        self._learning = learning
        self._progress: Progress | None = None
        self._training = False
        context.observe(self._status, self._figures)

    def start(self, header: Header) -> None:
        """Begin."""
        logger.info("%s: %s on %s", header.experiment, header.agent, header.environment)

    def update(self, progress: Progress) -> None:
        """Keep what the endpoint shows; the learner is ready once it has learned."""
        self._progress = progress
        self._context.alive()
        if progress.waiting_for is None or progress.learner_steps:
            self._context.ready()
        else:
            self._context.ready(reason=f"waiting for {progress.waiting_for}")

    def event(self, message: str, level: Level = "info") -> None:
        """Log what happened."""
        if level == "info":
            logger.info("%s%s", settings.EVENT, message)
        else:
            logger.warning("%s", message)

    def finish(self, summary: Summary) -> None:
        """Log how it ended."""
        logger.info("%s: %s", summary.state, summary.message)

    def close(self) -> None:
        """Nothing is held open."""

    def _status(self) -> dict[str, Any]:
        progress = self._progress
        if progress is None:
            return {"state": "starting", "detail": "", "progress": None}
        return {
            "state": "learning" if progress.waiting_for is None else "waiting",
            "detail": progress.waiting_for or f"{progress.learner_steps:,} steps",
            "environmentSteps": progress.environment_steps,
            "learnerSteps": progress.learner_steps,
            "progress": progress.to_json(),
            "actors": {
                name: {
                    "environmentSteps": actor.report.environment_steps,
                    "version": actor.report.version,
                    "secondsAgo": round(actor.seconds_ago, 3),
                }
                for name, actor in self._service.actors().items()
            },
        }

    def _figures(self) -> dict[str, float]:
        progress, total = self._progress, self._service.counts.counts.total
        figures: dict[str, float | None] = {
            "greenroom_environment_steps_total": total.environment_steps,
            "greenroom_episodes_total": total.episodes,
            "greenroom_actors_acting_seconds_total": total.acting_seconds,
            "greenroom_actors_waiting_seconds_total": total.waiting_seconds,
            "greenroom_actors_dropped_items_total": total.dropped_items,
            "greenroom_learner_lost_priority_updates_total": self._learning.lost_priority_updates,
        }
        if progress is not None:
            figures |= {
                "greenroom_learner_steps_total": progress.learner_steps,
                "greenroom_environment_steps_per_second": progress.environment_steps_per_second,
                "greenroom_learner_steps_per_second": progress.learner_steps_per_second,
                "greenroom_samples_per_insert": progress.samples_per_insert,
                "greenroom_wanted_samples_per_insert": progress.wanted_samples_per_insert,
                "greenroom_episode_return": progress.episode_return,
                "greenroom_training_return": progress.training_return,
            }
        return {name: value for name, value in figures.items() if value is not None}
