"""The ConfigMap with the experiment that the roles read."""

from __future__ import annotations

from pathlib import PurePosixPath

from greenroom_operator.names import EXPERIMENT_FILE
from greenroom_operator.observed import Manifest
from greenroom_operator.plan.subject import Subject


def config_name(experiment: str) -> str:
    """Return the name of an experiment's ConfigMap."""
    return f"{experiment}-experiment"


def experiment_config(subject: Subject) -> Manifest:
    """Return the ConfigMap; pods mount it as a folder, so that they see it change."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": subject.metadata(config_name(subject.name)),
        "data": {PurePosixPath(EXPERIMENT_FILE).name: subject.inputs.file},
    }
