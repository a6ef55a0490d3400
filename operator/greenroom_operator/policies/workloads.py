"""The workloads of an experiment, as they were observed."""

from __future__ import annotations

from greenroom_operator.causes import WORKLOAD
from greenroom_operator.experiment import Experiment
from greenroom_operator.names import Role, child_name
from greenroom_operator.observed import Child, Observed


def workload(experiment: Experiment, observed: Observed, role: Role) -> Child | None:
    """Return the workload of a role, None if there is none, or one of somebody else."""
    child = observed.children.get((WORKLOAD[role], child_name(experiment.name, role)))
    return None if child is None or child.owner not in (None, experiment.uid) else child


def present(experiment: Experiment, observed: Observed, role: Role) -> int:
    """Return how many pods a role's workload is told to have now."""
    child = workload(experiment, observed, role)
    return 0 if child is None or child.replicas is None else child.replicas
