"""The learner: trains, counts, serves parameters, and owns the run directory."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from greenroom.core import AgentBuilder
from greenroom.learning.checkpoints import newest_written
from greenroom.learning.loop import LearningLoop
from greenroom.observability.kept_logs import KeptLogs
from greenroom.observability.run_directory import RunDirectory
from greenroom.randomness import torch_seeded
from greenroom.replay.descriptions import tables_to_json
from greenroom.replay.reverb_client import ReverbReplay
from greenroom.replay.tables import Table
from greenroom.roles.learner_status import LearnerDisplay
from greenroom.roles.serving import RoleContext
from greenroom.roles.stop_file import StopFile
from greenroom.spaces import EnvironmentSpec
from greenroom.training.assembly import assemble_builder, choose_device, make_learner
from greenroom.training.remote import RemoteDriver, RemoteEvaluations
from greenroom.training.results import Result, header
from greenroom.training.runs import Wiring, train
from greenroom.variables.journal import CountsJournal
from greenroom.variables.service import SHIPPING_ROLES, LearnerService
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
# Of a learner that was asked to stop and stays: until somebody has read that all is saved, and
# so much longer, in case it was somebody else than who is to record it.
UNREAD_SECONDS = 60.0
READ_SECONDS = 5.0
# Between two looks whether a learner of before, on another node, has let go of the run.
LOCK_SECONDS = 5.0


@dataclass(frozen=True)
class LearnerOptions:
    """Where the learner is and what it talks to.

    Attributes:
        host, port: where its service listens.
        replay: HOST:PORT of the Reverb server.
        run_directory: where it leaves everything; a run that is there already goes on.
        uid: which experiment it is, among all of its name.
        stay: go on telling how training ended: until asked to stop where it succeeded, and
            for a minute at most where it was asked to stop. A run that has succeeded is not
            gone on with.
        experiment_file: where ``spec.stop`` is read again when it changes; None for nowhere.
    """

    host: str
    port: int
    replay: str
    run_directory: Path
    uid: str = ""
    stay: bool = False
    experiment_file: Path | None = None


def run_learner(experiment: RLExperiment, context: RoleContext, options: LearnerOptions) -> Result:
    """Train to the end, or until asked to stop; go on with what the run directory holds.

    Raises:
        ConfigurationError: the environment cannot be made, the agent does not fit it, or the
            address is not free.
        CheckpointError, RunDirectoryError: the run directory cannot be used.
        TrainingDiverged: training cannot go on; the newest checkpoint stands.
    """
    directory = RunDirectory(options.run_directory)
    name = experiment.metadata.name
    display = LearnerDisplay(context, directory, name, options.uid)
    if options.stay:
        before = directory.read_summary()
        if before is not None and before.state == "Succeeded":
            return _tell_again(Result(**vars(before)), experiment, context, options, display)
    return _train(experiment, context, options, display)


def _train(
    experiment: RLExperiment,
    context: RoleContext,
    options: LearnerOptions,
    display: LearnerDisplay,
) -> Result:
    spec = experiment.spec
    torch.set_num_threads(spec.learner.torch_threads)
    device = choose_device(spec.learner.device)
    environment_spec, builder = assemble_builder(experiment)
    tables = builder.make_tables(spec.replay, spec.actors.environments_per_actor)
    description = tables_to_json(tables)
    context.route("/tables", lambda: description)
    directory = RunDirectory.at(options.run_directory)
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch_seeded(spec.seed, "torch"))
        service = stack.enter_context(_serving(experiment, context, options, directory))
        with contextlib.ExitStack() as training:
            replay = training.enter_context(contextlib.closing(_replay(options.replay, tables)))
            wiring = _wire(experiment, builder, environment_spec, device, replay, service)
            if options.experiment_file is not None:
                stop = StopFile(
                    options.experiment_file,
                    experiment,
                    changed=lambda stop: service.end_at(stop.environment_steps),
                )
                wiring = replace(wiring, stop=stop)
            training.enter_context(contextlib.closing(wiring.driver))
            display.attach(service, wiring.learning)
            display.start(header(experiment, directory))
            result = train(
                experiment,
                wiring,
                directory,
                resume=directory.begun,
                display=display,
                request=context.stop,
                # In a cluster, an edited experiment starts its learner anew.
                edits=options.stay,
            )
        if options.stay:
            _tell(context, display)
    return result


def _tell_again(
    result: Result,
    experiment: RLExperiment,
    context: RoleContext,
    options: LearnerOptions,
    display: LearnerDisplay,
) -> Result:
    """Tell of a training that ended in an earlier process."""
    directory = RunDirectory(options.run_directory)
    with _serving(experiment, context, options, directory) as service:
        service.stop_actors()
        display.attach(service)
        display.finish(result)
        _tell(context, display)
    return result


def _tell(context: RoleContext, display: LearnerDisplay) -> None:
    """Stay where others can read how it ended; see `LearnerOptions.stay`."""
    context.ready()
    if display.state == "finished":
        while not context.stop.wait(1.0):
            context.alive()
        return
    deadline = time.monotonic() + UNREAD_SECONDS
    while time.monotonic() < deadline:
        context.alive()
        if display.ended_read_at is not None:
            deadline = min(deadline, display.ended_read_at + READ_SECONDS)
        time.sleep(0.1)


@contextlib.contextmanager
def _serving(
    experiment: RLExperiment,
    context: RoleContext,
    options: LearnerOptions,
    directory: RunDirectory,
) -> Iterator[LearnerService]:
    """Own the run directory and its counts, and serve the other roles."""
    spec = experiment.spec

    def again(writer: str) -> bool:
        # A node that does not answer may have a learner on it still, which another one replaces.
        logger.info("waiting: %s still writes the run", writer)
        context.alive()
        context.ready(f"{writer} still writes the run")
        return options.stay and not context.stop.wait(LOCK_SECONDS)

    with contextlib.ExitStack() as stack:
        stack.enter_context(directory.locked("learner", again))
        journal = stack.enter_context(CountsJournal(directory.counts))
        # Before actors can ask how far they may go: a run in one process keeps no journal.
        newest = newest_written(directory.checkpoints)
        journal.raise_to(0 if newest is None else newest.environment_steps, episodes=0)
        logs = None
        if options.stay:
            logs = KeptLogs(directory.kept_logs, SHIPPING_ROLES)
            stack.callback(logs.close)
        service = LearnerService(
            options.host,
            options.port,
            context.token,
            journal,
            unroll_steps=UNROLL * spec.actors.environments_per_actor,
            environment_steps=spec.stop.environment_steps,
            keep_log=None if logs is None else logs.append,
        )
        logger.info("serving parameters on %s:%d", options.host, service.port)
        yield stack.enter_context(contextlib.closing(service))


def _replay(address: str, tables: Sequence[Table]) -> ReverbReplay:
    # What is taken out of a queue ahead of time is only older when it is learned from.
    queues = any(table.max_times_sampled for table in tables)
    return ReverbReplay(address, tables, prefetch=0 if queues else PREFETCH_ITEMS)


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
