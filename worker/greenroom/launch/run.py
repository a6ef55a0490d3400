"""Running an experiment on this machine: in this process, or as processes over Reverb."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path

import torch

from greenroom.errors import ConfigurationError
from greenroom.launch.lockstep import LockstepDriver
from greenroom.launch.overlapped import OverlappedDriver
from greenroom.launch.processes import run_processes
from greenroom.observability.displays import Display, make_display
from greenroom.observability.run_directory import RunDirectory
from greenroom.randomness import torch_seeded
from greenroom.training.assembly import Parts, assemble
from greenroom.training.drivers import Driver
from greenroom.training.runs import Result, Wiring, header, train
from greenroom.training.signals import stop_on_signals
from greenroom.variables.journal import reported_environment_steps
from greenroom_api import RLExperiment


class Launch(StrEnum):
    """How the parts of an experiment share this machine."""

    LOCKSTEP = "lockstep"
    OVERLAPPED = "overlapped"
    PROCESSES = "processes"


DRIVERS: dict[Launch, Callable[[RLExperiment, Parts], Driver]] = {
    Launch.LOCKSTEP: LockstepDriver,
    Launch.OVERLAPPED: OverlappedDriver,
}


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
        resume: go on from the newest checkpoint, whichever launch it was written by.
        launch: ``lockstep`` (reproducible), ``overlapped`` (faster on two cores), or
            ``processes`` (replay, learner, ``spec.actors.replicas`` actors and evaluator,
            each a process, as they will be in pods).
        display: what shows progress; by default nothing does.

    Raises:
        ConfigurationError: the experiment asks for what cannot be; nothing was written
            (with ``processes`` nothing but logs).
        RunDirectoryError: the run directory exists (or, to resume, does not).
        CheckpointError: there is no whole checkpoint to resume, or none could be written.
        EnvironmentFault, TrainingDiverged: training cannot go on; the newest checkpoint stands.
        RoleFailed: with ``processes``, a role ended again and again.
    """
    launch = _launch(launch)
    with contextlib.ExitStack() as stack:
        display = stack.enter_context(contextlib.closing(display or make_display("none")))
        open_directory = partial(_directory, experiment, run_directory, resume)
        if launch is Launch.PROCESSES:
            return run_processes(experiment, open_directory, resume=resume, display=display)
        return _run_here(experiment, DRIVERS[launch], open_directory, resume, display)


def _run_here(
    experiment: RLExperiment,
    driver_class: Callable[[RLExperiment, Parts], Driver],
    open_directory: Callable[[], RunDirectory],
    resume: bool,
    display: Display,
) -> Result:
    torch.set_num_threads(experiment.spec.learner.torch_threads)
    with contextlib.ExitStack() as stack:
        # Layers such as dropout draw from torch's global generator, and know no other.
        stack.enter_context(torch_seeded(experiment.spec.seed, "torch"))
        parts = stack.enter_context(contextlib.closing(assemble(experiment)))
        driver = stack.enter_context(contextlib.closing(driver_class(experiment, parts)))
        # Only now: what cannot be assembled leaves no directory behind.
        directory = open_directory()
        stack.enter_context(directory.locked())
        request = stack.enter_context(stop_on_signals())
        display.start(header(experiment, directory))
        if (actors := experiment.spec.actors.replicas) > 1:
            display.event(
                f"spec.actors.replicas asks for {actors} actors, which --launch processes starts; "
                "in one process there is one",
                level="warning",
            )
        wiring = Wiring(
            parts.learning,
            driver,
            parts.evaluations,
            parts.environment.spec,
            reported_environment_steps(directory.counts),
        )
        return train(experiment, wiring, directory, resume=resume, display=display, request=request)


def _directory(experiment: RLExperiment, path: Path | str | None, resume: bool) -> RunDirectory:
    """Return the run directory to work in, made if it is a new one."""
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
