"""What the roles of an experiment read, and the digests that tell when that has changed.

Only what differs from its default is written and digested: a field that a newer API adds
then neither restarts the pods of experiments that do not set it, nor stands in a file that
an older worker image would refuse.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from greenroom_api import RLExperiment
from greenroom_api.documents import write_document
from greenroom_operator.digests import digest
from greenroom_operator.names import ROLES, Role

Path = tuple[str, ...]

_REPLAY: Final = ("rateLimiter", "samplesPerInsert", "minSize", "maxSize", "errorBuffer")
_TABLES: Final[tuple[Path, ...]] = (
    ("environment",),
    ("agent",),
    *(("replay", name) for name in _REPLAY),
    ("actors", "environmentsPerActor"),
)

READS: Final[Mapping[Role, tuple[Path, ...]]] = {
    # It asks the learner for its tables when it starts; these are what they follow from.
    "replay": (*_TABLES, ("checkpoint", "interval"), ("replay", "podTemplate")),
    "learner": (
        *_TABLES,
        ("learner", "device"),
        ("learner", "torchThreads"),
        ("learner", "podTemplate"),
        ("evaluator", "episodes"),
        ("evaluator", "interval"),
        ("checkpoint", "interval"),
        ("checkpoint", "keep"),
        ("seed",),
    ),
    "actor": (*_TABLES, ("actors", "podTemplate"), ("seed",)),
    "evaluator": (
        ("environment",),
        ("agent",),
        ("evaluator", "episodes"),
        ("evaluator", "podTemplate"),
        ("seed",),
    ),
}
"""What of ``spec`` each role is started from, beside its image; a change of it rolls its pods."""

READ_WITHOUT_ROLLING: Final[tuple[Path, ...]] = (("stop",), ("actors", "replicas"))
"""What roles read whenever they start, but need not start for."""

OPERATORS_OWN: Final[tuple[Path, ...]] = (
    ("image",),
    ("suspend",),
    ("managedBy",),
    ("ttlSecondsAfterFinished",),
    ("failurePolicy",),
    ("resumeFrom",),
    ("replay", "storage"),
    ("replay", "podTemplate"),
    ("learner", "replicas"),
    ("learner", "podTemplate"),
    ("actors", "podTemplate"),
    ("evaluator", "podTemplate"),
    ("checkpoint", "storage"),
    ("checkpoint", "retain"),
)
"""What no role reads, and their file leaves out."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What follows from an experiment alone.

    Attributes:
        file: the experiment as YAML, for the roles.
        digests: of `READS`, by role.
    """

    file: str
    digests: Mapping[Role, str]


# Writing YAML takes longer than all the rest of a plan. An experiment that was read once
# never changes, so what follows from it is kept as long as the experiment itself is.
_kept: dict[int, tuple[weakref.ref[RLExperiment], Inputs]] = {}


def inputs_of(resource: RLExperiment) -> Inputs:
    """Return what the roles of an experiment read."""
    key = id(resource)
    known = _kept.get(key)
    if known is not None and known[0]() is resource:
        return known[1]
    inputs = _make(resource)
    _kept[key] = weakref.ref(resource, lambda _: _kept.pop(key, None)), inputs
    return inputs


def _make(resource: RLExperiment) -> Inputs:
    spec = resource.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if resource.spec.replay.rate_limiter == "Queue":
        # A queue has to be told, also what the default is.
        spec["replay"]["maxSize"] = resource.spec.replay.max_size
    digests = {role: digest(list(_chosen(spec, READS[role]))) for role in ROLES}
    return Inputs(_file(resource, spec), digests)


def _chosen(spec: Mapping[str, Any], paths: tuple[Path, ...]) -> Iterator[tuple[Path, Any]]:
    for path in paths:
        value: Any = spec
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is not None:
            yield path, value


def _file(resource: RLExperiment, spec: dict[str, Any]) -> str:
    for *sections, name in OPERATORS_OWN:
        section = spec
        for part in sections:
            section = section.get(part, {})
        section.pop(name, None)
    metadata = {"name": resource.metadata.name}
    if resource.metadata.namespace is not None:
        metadata["namespace"] = resource.metadata.namespace
    return write_document(
        {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": metadata,
            "spec": {name: value for name, value in spec.items() if value != {}},
        }
    )
