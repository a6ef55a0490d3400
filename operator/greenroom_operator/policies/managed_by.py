"""Whether an experiment is ours to look after."""

from __future__ import annotations

from greenroom_operator.experiment import Experiment
from greenroom_operator.names import MANAGED_BY


def is_ours(experiment: Experiment) -> bool:
    """Return whether ``spec.managedBy`` leaves an experiment to this operator."""
    return experiment.resource.spec.managed_by in (None, MANAGED_BY)
