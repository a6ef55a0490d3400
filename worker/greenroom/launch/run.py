"""Running an experiment in this process: run directory, signals, training, results."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch

from greenroom.errors import ConfigurationError, RunDirectoryError
from greenroom.export import export_policy
from greenroom.launch.lockstep import LockstepDriver
from greenroom.launch.overlapped import OverlappedDriver
from greenroom.launch.signals import StopRequest, stop_on_signals
from greenroom.learning.checkpoints import Checkpoint, CheckpointStore
from greenroom.observability.displays import Display, Header, Summary, make_display
from greenroom.observability.records import RunRecords, read_metrics
from greenroom.observability.run_directory import RunDirectory
from greenroom.randomness import torch_seeded
from greenroom.training.assembly import Parts, assemble
from greenroom.training.drivers import Driver
from greenroom.training.reporting import Reporter
from greenroom.training.session import Training
from greenroom_api import RLExperiment, dump_experiment


class Launch(StrEnum):
    """How the parts of an experiment share this machine."""

    LOCKSTEP = "lockstep"
    OVERLAPPED = "overlapped"


DRIVERS: dict[Launch, Callable[[RLExperiment, Parts], Driver]] = {
    Launch.LOCKSTEP: LockstepDriver,
    Launch.OVERLAPPED: OverlappedDriver,
}


@dataclass(frozen=True)
class Result(Summary):
    """What became of a run; see `Summary` for the rest.

    Attributes:
        state: ``Succeeded`` (a stop condition was met) or ``Interrupted`` (by a signal;
            it can be resumed).
        signal: the number of the signal that interrupted it, or None.
    """

    signal: int | None = None


def run(
    experiment: RLExperiment,
    *,
    run_directory: Path | str | None = None,
    resume: bool = False,
    launch: Launch | str = Launch.LOCKSTEP,
    display: Display | None = None,
) -> Result:
    """Train until a stop condition is met.

        experiment = greenroom.load_experiment("examples/cartpole-dqn.yaml")
        result = greenroom.run(experiment)
        print(result.episode_return, result.run_directory)

    SIGINT and SIGTERM end it with a checkpoint and the state ``Interrupted``.

    Args:
        experiment: what to train.
        run_directory: where to leave results; default ``runs/NAME-TIME``. With
            ``resume`` the run to go on with; default the newest of that name.
        resume: go on from the newest checkpoint.
        launch: ``lockstep`` (reproducible) or ``overlapped`` (faster on two cores).
        display: what shows progress; by default nothing does.

    Raises:
        ConfigurationError: the experiment asks for what cannot be; nothing was written.
        RunDirectoryError: the run directory exists (or, to resume, does not).
        CheckpointError: there is no whole checkpoint to resume, or none could be written.
        EnvironmentFault, TrainingDiverged: training cannot go on; the newest checkpoint stands.
    """
    driver_class = DRIVERS[_launch(launch)]
    torch.set_num_threads(experiment.spec.learner.torch_threads)
    with contextlib.ExitStack() as stack:
        # Layers such as dropout draw from torch's global generator, and know no other.
        stack.enter_context(torch_seeded(experiment.spec.seed, "torch"))
        display = stack.enter_context(contextlib.closing(display or make_display("none")))
        parts = stack.enter_context(contextlib.closing(assemble(experiment)))
        driver = stack.enter_context(contextlib.closing(driver_class(experiment, parts)))
        directory = _open_directory(experiment, run_directory, resume)
        stack.enter_context(directory.locked())
        request = stack.enter_context(stop_on_signals())
        display.start(
            Header(
                experiment.metadata.name,
                _agent(experiment),
                _environment(experiment),
                directory.path,
            )
        )
        return _train(experiment, parts, driver, directory, resume, display, request)


def _open_directory(
    experiment: RLExperiment, path: Path | str | None, resume: bool
) -> RunDirectory:
    name = experiment.metadata.name
    if resume:
        return RunDirectory.open(Path(path)) if path else RunDirectory.newest(name)
    return RunDirectory.create(Path(path) if path else None, name)


def _launch(name: Launch | str) -> Launch:
    try:
        return Launch(name)
    except ValueError as error:
        known = ", ".join(Launch)
        raise ConfigurationError(f"launch must be one of {known}. Got: {name!r}.") from error


def _train(
    experiment: RLExperiment,
    parts: Parts,
    driver: Driver,
    directory: RunDirectory,
    resume: bool,
    display: Display,
    request: StopRequest,
) -> Result:
    spec = experiment.spec
    checkpoints = CheckpointStore(
        directory.checkpoints, spec.checkpoint.keep, _identity(experiment)
    )
    # A checkpoint that is refused must leave the run in this directory as it was.
    checkpoint = _newest_checkpoint(checkpoints, display) if resume else None
    directory.write_experiment(dump_experiment(experiment))
    with RunRecords(directory.path) as records:
        reporter = Reporter(parts.learning, driver, spec.stop, records, display)
        training = Training(
            experiment,
            parts.learning,
            driver,
            parts.evaluations,
            checkpoints,
            reporter,
            lambda: bool(request),
        )
        try:
            if resume:
                if checkpoint is not None:
                    training.restore(checkpoint)
                records.truncate_after(training.environment_steps, training.learner_steps)
                reporter.resume(read_metrics(directory.path))
            ending = training.run()
            export_policy(
                directory.policy,
                spec.agent,
                parts.environment.spec,
                parts.learning.learner.variables(),
            )
        except Exception as error:
            failure = _result("Failed", type(error).__name__, str(error), training, directory)
            with contextlib.suppress(RunDirectoryError):  # a full disk must not hide the cause
                directory.write_summary(failure)
            display.finish(failure)
            raise
    if ending is None:
        assert request.signal is not None, "nothing else interrupts"
        message = f"stopped by {request.signal.name} after a checkpoint; --resume goes on"
        result = _result("Interrupted", request.signal.name, message, training, directory)
        result = replace(result, signal=request.signal.value)
    else:
        result = _result("Succeeded", ending.reason, ending.message, training, directory)
    directory.write_summary(result)
    display.finish(result)
    return result


def _newest_checkpoint(checkpoints: CheckpointStore, display: Display) -> Checkpoint | None:
    """Return what to go on from; a run killed before its first checkpoint begins anew."""
    if not checkpoints.folders():
        display.event("there is no checkpoint yet: beginning at step 0", level="warning")
        return None
    checkpoint = checkpoints.load_newest()
    display.event(f"resuming checkpoint {checkpoint.path.name}")
    return checkpoint


def _result(
    state: str, reason: str, message: str, training: Training, directory: RunDirectory
) -> Result:
    return Result(
        state=state,
        reason=reason,
        message=message,
        episode_return=training.last_return,
        environment_steps=training.environment_steps,
        learner_steps=training.learner_steps,
        wall_seconds=training.seconds,
        run_directory=directory.path,
    )


def _agent(experiment: RLExperiment) -> str:
    """Return what the agent is called."""
    agent = experiment.spec.agent
    return agent.chosen if agent.custom is None else agent.custom.builder


def _environment(experiment: RLExperiment) -> str:
    """Return what the environment is called."""
    environment = experiment.spec.environment
    return environment.factory or (environment.gymnasium.id if environment.gymnasium else "")


def _identity(experiment: RLExperiment) -> dict[str, Any]:
    """Return what must not change when a run resumes: all that shapes what is learnt."""
    spec = experiment.spec.model_dump(mode="json", by_alias=True)
    return {key: spec[key] for key in ("environment", "agent", "replay", "actors", "seed")}
