"""A run in this process: lock-step or overlapped."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch

from greenroom.launch.lockstep import LockstepDriver
from greenroom.launch.modes import Launch
from greenroom.launch.overlapped import OverlappedDriver
from greenroom.observability.displays import Display
from greenroom.observability.run_directory import RunDirectory
from greenroom.randomness import torch_seeded
from greenroom.training.assembly import Parts, assemble
from greenroom.training.drivers import Driver
from greenroom.training.results import Result, header
from greenroom.training.runs import Wiring, train
from greenroom.training.signals import stop_on_signals
from greenroom.variables.journal import reported_environment_steps
from greenroom_api import RLExperiment

DRIVERS: dict[Launch, Callable[[RLExperiment, Parts], Driver]] = {
    Launch.LOCKSTEP: LockstepDriver,
    Launch.OVERLAPPED: OverlappedDriver,
}


def run_here(
    experiment: RLExperiment,
    launch: Launch,
    open_directory: Callable[[], RunDirectory],
    *,
    resume: bool,
    display: Display,
) -> Result:
    """Train in this process; see `greenroom.run`."""
    torch.set_num_threads(experiment.spec.learner.torch_threads)
    with contextlib.ExitStack() as stack:
        # Layers such as dropout draw from torch's global generator, and know no other.
        stack.enter_context(torch_seeded(experiment.spec.seed, "torch"))
        parts = stack.enter_context(contextlib.closing(assemble(experiment)))
        driver = stack.enter_context(contextlib.closing(DRIVERS[launch](experiment, parts)))
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
