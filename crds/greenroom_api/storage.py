"""Sizes of volumes, and the two volumes of an experiment."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema

from greenroom_api.base import ApiModel, Validation
from greenroom_api.values import SubdomainOrEmpty, broken, show

SIZE_PATTERN = "^[1-9][0-9]{0,5}(Ki|Mi|Gi|Ti)$"
_SIZE_RULE = (
    "must be a whole number of Ki, Mi, Gi or Ti, written like 500Mi or 10Gi, of 6 digits at most"
)
_UNITS = ("Ki", "Mi", "Gi", "Ti")


def size_bytes(size: str) -> int:
    """Return the bytes of a `Size`.

    >>> size_bytes("10Gi") // size_bytes("512Mi")
    20
    """
    return int(size[:-2]) << 10 * (1 + _UNITS.index(size[-2:]))


def _canonical(value: Any) -> str:
    """Return the size as the API server writes it back: in the largest unit that is whole."""
    if not (isinstance(value, str) and re.fullmatch(SIZE_PATTERN, value)):
        raise broken(f"{_SIZE_RULE}. Got: {show(value)}.")
    amount, unit = int(value[:-2]), value[-2:]
    while amount % 1024 == 0 and unit != _UNITS[-1]:
        amount, unit = amount // 1024, _UNITS[_UNITS.index(unit) + 1]
    return f"{amount}{unit}"


Size: TypeAlias = Annotated[
    str,
    BeforeValidator(_canonical),
    WithJsonSchema({"type": "string", "maxLength": 8, "pattern": SIZE_PATTERN}),
]
"""A quantity of bytes, canonical: 1024Mi is kept as 1Gi, so that equal sizes are equal text."""


class Storage(ApiModel):
    """A volume that outlives pods; on Kubernetes alone."""

    size: Size = Field(
        description="Size of the volume: a whole number of Ki, Mi, Gi or Ti. It may grow, where "
        "the storage class can expand volumes, but not shrink.",
    )
    storage_class_name: SubdomainOrEmpty | None = Field(
        default=None,
        description='Storage class of the volume. Unset: the cluster\'s default class; "": none, '
        "for volumes that an administrator made. It cannot be changed.",
    )

    @classmethod
    def validations(cls) -> tuple[Validation, ...]:
        """Return what may become of a volume that is there."""
        now, before = (
            f"(has({who}.storageClassName) ? {who}.storageClassName : 'unset')"
            for who in ("self", "oldSelf")
        )
        return (
            Validation(
                "quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0",
                "size may grow, but must not shrink",
                path=".size",
                got={"size": "self.size", "before": "oldSelf.size"},
            ),
            Validation(
                "has(self.storageClassName) == has(oldSelf.storageClassName) && "
                "(!has(self.storageClassName) || "
                "self.storageClassName == oldSelf.storageClassName)",
                "storageClassName must not change, since a volume keeps its class",
                path=".storageClassName",
                got={"storageClassName": now, "before": before},
            ),
        )


class ReplayStorage(Storage):
    """The replay server's volume."""

    size: Size = Field(default="10Gi", description=Storage.model_fields["size"].description)


class CheckpointStorage(Storage):
    """The learner's volume."""

    size: Size = Field(default="5Gi", description=Storage.model_fields["size"].description)
