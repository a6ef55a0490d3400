"""One RLExperiment as the operator works with it: identity, validated spec, stored status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from greenroom_api import RLExperiment, parse_experiment

Key = tuple[str, str]
"""Namespace and name."""

# Of metadata, the API's models know what a user writes.
_METADATA = ("name", "namespace", "labels", "annotations")


@dataclass(frozen=True, slots=True)
class Experiment:
    """An RLExperiment that the API server holds.

    Attributes:
        name, namespace, uid, generation: of its metadata.
        created: its creation timestamp, in UTC.
        deleting: whether it has a deletion timestamp.
        resource: the validated object.
        status: as stored, {} before the first write.
    """

    name: str
    namespace: str
    uid: str
    generation: int
    created: datetime
    deleting: bool
    resource: RLExperiment
    status: Mapping[str, Any]

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name

    @classmethod
    def from_object(cls, body: Mapping[str, Any]) -> Experiment:
        """Read an object as the API server gives it.

        Raises:
            InvalidExperiment: it breaks a rule that the API server does not know, or was stored
                under an older schema.
        """
        metadata = body["metadata"]
        resource = parse_experiment(
            {
                "apiVersion": body["apiVersion"],
                "kind": body["kind"],
                "metadata": {name: metadata[name] for name in _METADATA if name in metadata},
                "spec": body.get("spec", {}),
            }
        )
        return cls(
            name=metadata["name"],
            namespace=metadata["namespace"],
            uid=metadata["uid"],
            generation=metadata["generation"],
            created=datetime.fromisoformat(metadata["creationTimestamp"]),
            deleting="deletionTimestamp" in metadata,
            resource=resource,
            status=body.get("status", {}),
        )
