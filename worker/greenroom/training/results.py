"""What a run is called and what became of it; without torch, which a launcher does not need."""

from __future__ import annotations

from dataclasses import dataclass

from greenroom.observability.progress import Header, Summary
from greenroom.observability.run_directory import RunDirectory
from greenroom_api import RLExperiment


@dataclass(frozen=True)
class Result(Summary):
    """What became of a run; see `Summary` for the rest.

    Attributes:
        state: ``Succeeded`` (a stop condition was met) or ``Interrupted`` (by a signal;
            it can be resumed).
        signal: the number of the signal that interrupted it, or None.
    """

    signal: int | None = None


def header(experiment: RLExperiment, directory: RunDirectory) -> Header:
    """Return what a display shows of an experiment from its start."""
    agent, environment = experiment.spec.agent, experiment.spec.environment
    return Header(
        experiment.metadata.name,
        agent.chosen if agent.custom is None else agent.custom.builder,
        environment.factory or (environment.gymnasium.id if environment.gymnasium else ""),
        directory.path,
    )
