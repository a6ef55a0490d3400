"""A training in its run directory: begun or resumed, recorded, ended, summed up.

::

    wiring = Wiring(learning, driver, evaluations, environment_spec, reported_steps=0)
    result = train(experiment, wiring, directory, resume=False, display=display, request=request)

The same for one process and for a learner among processes, so that what a run leaves is
the same, and a run that was begun in one way goes on in the other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from greenroom.errors import RunDirectoryError
from greenroom.export import export_policy
from greenroom.learning.checkpoints import Checkpoint, CheckpointStore
from greenroom.learning.loop import LearningLoop
from greenroom.observability.displays import Display
from greenroom.observability.records import RunRecords, read_metrics
from greenroom.observability.run_directory import RunDirectory
from greenroom.spaces import EnvironmentSpec
from greenroom.training.drivers import Driver
from greenroom.training.evaluations import Evaluations
from greenroom.training.reporting import Reporter
from greenroom.training.results import Result
from greenroom.training.session import Training
from greenroom.training.signals import StopRequest
from greenroom.training.stopping import StopDescription
from greenroom_api import RLExperiment, dump_experiment

# More actors learn the same, faster; and so do those of another pod or volume.
WHERE_IT_RUNS = ("replicas", "podTemplate", "storage")


@dataclass(frozen=True)
class Wiring:
    """What a training is made of, wherever its parts are.

    Attributes:
        learning: the learner and its count.
        driver: who acts and learns when.
        evaluations: who plays evaluations.
        environment_spec: of one environment, for the exported policy.
        reported_steps: environment steps that actors in processes have reported of this run.
        stop: returns the stop conditions where they may change; None for the experiment's.
    """

    learning: LearningLoop
    driver: Driver
    evaluations: Evaluations
    environment_spec: EnvironmentSpec
    reported_steps: int
    stop: Callable[[], StopDescription] | None = None


def train(
    experiment: RLExperiment,
    wiring: Wiring,
    directory: RunDirectory,
    *,
    resume: bool,
    display: Display,
    request: StopRequest,
    edits: bool = False,
) -> Result:
    """Train to the end, or until ``request`` asks to stop; leave everything in ``directory``.

    With ``edits``, hyperparameters may be others than those of the checkpoint.

    Raises:
        CheckpointError: there is no whole checkpoint to resume, or none could be written.
        EnvironmentFault, TrainingDiverged: training cannot go on; the newest checkpoint stands.
    """
    spec = experiment.spec
    checkpoints = CheckpointStore(
        directory.checkpoints, spec.checkpoint.keep, identity(experiment), edits=edits
    )
    # A checkpoint that is refused must leave the run in this directory as it was.
    checkpoint = _newest_checkpoint(checkpoints, display) if resume else None
    directory.write_experiment(dump_experiment(experiment))
    with RunRecords(directory.path) as records:
        stop = wiring.stop or (lambda: spec.stop)
        reporter = Reporter(wiring.learning, wiring.driver, stop, records, display)
        training = Training(
            experiment,
            wiring.learning,
            wiring.driver,
            wiring.evaluations,
            checkpoints,
            reporter,
            lambda: bool(request),
            stop,
        )
        try:
            if resume:
                if checkpoint is not None:
                    training.restore(checkpoint, wiring.reported_steps)
                records.truncate_after(training.environment_steps, training.learner_steps)
                reporter.resume(read_metrics(directory.path))
            ending = training.run()
            export_policy(
                directory.policy,
                spec.agent,
                wiring.environment_spec,
                wiring.learning.learner.variables(),
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


def identity(experiment: RLExperiment) -> dict[str, Any]:
    """Return what must not change when a run resumes: all that shapes what is learnt."""
    spec = experiment.spec.model_dump(mode="json", by_alias=True)
    parts = {key: spec[key] for key in ("environment", "agent", "replay", "actors", "seed")}
    for section in ("replay", "actors"):
        parts[section] = {
            key: value for key, value in spec[section].items() if key not in WHERE_IT_RUNS
        }
    return parts
