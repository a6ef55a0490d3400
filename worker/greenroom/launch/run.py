"""Running an experiment on this machine: in this process, or as processes over Reverb."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path

from greenroom.errors import ConfigurationError
from greenroom.launch.modes import Launch
from greenroom.launch.processes import run_processes
from greenroom.observability.displays import Display, make_display
from greenroom.observability.run_directory import RunDirectory
from greenroom.training.results import Result
from greenroom_api import RLExperiment

__all__ = ["Launch", "run"]


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
            return run_processes(experiment, open_directory, display=display)
        # Here alone, since it imports torch.
        from greenroom.launch.local import run_here

        return run_here(experiment, launch, open_directory, resume=resume, display=display)


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
