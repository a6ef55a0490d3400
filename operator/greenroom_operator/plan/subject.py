"""What a plan is made for, and the metadata that its objects share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from greenroom_api import ExperimentSpec
from greenroom_api.experiment import GROUP, KIND, VERSION
from greenroom_operator import names
from greenroom_operator.names import Role, child_name
from greenroom_operator.plan.inputs import Inputs

# Not the chart's, whose selectors must not find pods of experiments.
APPLICATION: Final = "rlexperiment"
PART_OF: Final = "greenroom"


@dataclass(frozen=True, slots=True)
class Subject:
    """An experiment with all that its objects are made from.

    Attributes:
        name, namespace, uid, spec: of the experiment.
        images: that its roles run, as ``status.images`` has them.
        inputs: what its roles read.
        seeding: whether the learner still has to copy what ``spec.resumeFrom`` names.
        placement: by role, what of ``status.admission`` its pods get.
    """

    name: str
    namespace: str
    uid: str
    spec: ExperimentSpec
    images: Mapping[str, str]
    inputs: Inputs
    seeding: bool
    placement: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def image(self, role: Role) -> str:
        """Return the image of a role, before a ``podTemplate`` says otherwise."""
        return self.images["replay" if role == "replay" else "worker"]

    def child(self, role: Role) -> str:
        """Return the name of a role's workload, and of what belongs to that."""
        return child_name(self.name, role)

    def labels(self, role: Role | None = None) -> dict[str, str]:
        """Return the labels of an object, and of a role's pods."""
        labels = common_labels(self.name)
        if role is not None:
            labels |= {names.COMPONENT_LABEL: role, names.ROLE_LABEL: role}
        return labels

    def selector(self, role: Role | None = None) -> dict[str, str]:
        """Return the labels that a role's pods, or all pods, are found by; they never change."""
        selector = {names.EXPERIMENT_LABEL: self.name}
        return selector if role is None else selector | {names.ROLE_LABEL: role}

    def metadata(
        self,
        name: str,
        role: Role | None = None,
        *,
        owned: bool = True,
        annotations: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Return the metadata of an object.

        Args:
            name: of the object.
            role: that it is for, None if it is for several.
            owned: whether it goes when the experiment does.
            annotations: of the object.
        """
        metadata: dict[str, Any] = {
            "name": name,
            "namespace": self.namespace,
            "labels": self.labels(role),
            "annotations": dict(annotations or {}),
        }
        if owned:
            metadata["ownerReferences"] = [owner_reference(self.name, self.uid)]
        return metadata


def common_labels(experiment: str) -> dict[str, str]:
    """Return the labels of everything that belongs to an experiment."""
    return {
        names.NAME_LABEL: APPLICATION,
        names.INSTANCE_LABEL: experiment,
        names.PART_OF_LABEL: PART_OF,
        names.MANAGED_BY_LABEL: names.FIELD_MANAGER,
        names.EXPERIMENT_LABEL: experiment,
    }


def owner_reference(experiment: str, uid: str) -> dict[str, Any]:
    """Return what makes an object go when its experiment does."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "name": experiment,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
