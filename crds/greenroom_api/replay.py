"""``spec.replay``: how much experience is kept, and how acting and learning keep step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Literal

from pydantic import Field
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from greenroom_api.base import ApiModel, BrokenRule, Validation
from greenroom_api.pod_template import POD_TEMPLATE, PodTemplate
from greenroom_api.storage import ReplayStorage
from greenroom_api.values import MAX_COUNT, Integer, Number, show

_RATIO_ONLY = ("samples_per_insert", "min_size", "error_buffer")
SAMPLES_PER_INSERT = 32.0
MIN_SIZE = 1_000
MAX_SIZE = 100_000


_UNTOLD = "must be set with rateLimiter Queue: the items by which acting may run ahead of learning"


def _without_default(schema: JsonDict) -> None:
    """Keep the API server from filling in what a Queue must not have, or must be told."""
    del schema["default"]


class Replay(ApiModel):
    """The table of experience between actors and learner, and its rate limiter."""

    rate_limiter: Literal["SampleToInsertRatio", "Queue"] = Field(
        default="SampleToInsertRatio",
        description="SampleToInsertRatio keeps a table to sample from and holds back whichever "
        "of acting and learning runs ahead of samplesPerInsert. Queue hands each item to the "
        "learner once, in order, and holds acting back while maxSize items wait.",
    )
    samples_per_insert: Number = Field(
        default=SAMPLES_PER_INSERT,
        gt=0,
        description="How often an item is sampled on average. Learner steps per item are this "
        "divided by the batch size: 32 with batches of 64 is one learner step for two items. "
        f"Unset: {SAMPLES_PER_INSERT:g}. Not with a Queue, whose items are read once.",
        json_schema_extra=_without_default,
    )
    min_size: Integer = Field(
        default=MIN_SIZE,
        ge=1,
        le=MAX_COUNT,
        description=f"Items in the table before learning starts. Unset: {MIN_SIZE}. Not with a "
        "Queue, which is read from its first item.",
        json_schema_extra=_without_default,
    )
    max_size: Integer = Field(
        default=MAX_SIZE,
        ge=1,
        le=MAX_COUNT,
        description="Items that are kept; then the oldest makes room for the newest. Unset: "
        f"{MAX_SIZE}. A Queue must be told: the items that may wait to be read, by which acting "
        "runs ahead of learning.",
        json_schema_extra=_without_default,
    )
    error_buffer: Number | None = Field(
        default=None,
        gt=0,
        description="How many samples acting and learning may be out of step, to either side. "
        "Unset: a tenth of minSize * samplesPerInsert, or the smallest with which both can "
        "proceed if that is greater. Not with a Queue.",
    )
    storage: ReplayStorage = Field(
        default=ReplayStorage(),
        description="The replay server's volume, for its own checkpoints. Local runs keep replay "
        "in memory and in their run directory.",
    )
    pod_template: PodTemplate | None = Field(default=None, description=POD_TEMPLATE)

    @classmethod
    def broken_rules(
        cls, fields: Mapping[str, Any], given: AbstractSet[str]
    ) -> Iterator[BrokenRule]:
        """Yield the rules of the rate limiter that do not hold."""
        match fields:
            case {"rate_limiter": "Queue"}:
                for name in _RATIO_ONLY:
                    if name in given and name in fields:
                        yield BrokenRule(
                            (to_camel(name),),
                            "must not be set with rateLimiter Queue, which reads each item once, "
                            f"in order. Got: {show(fields[name])}.",
                        )
                if "max_size" not in given:
                    yield BrokenRule(("maxSize",), f"{_UNTOLD}. Got: none.")
            case {"rate_limiter": _}:
                yield from _broken_ratio(fields)

    @classmethod
    def validations(cls) -> tuple[Validation, ...]:
        """Return the same rules for the API server, which fills in no default for them."""
        samples = f"(has(self.samplesPerInsert) ? self.samplesPerInsert : {SAMPLES_PER_INSERT})"
        min_size = f"(has(self.minSize) ? self.minSize : {MIN_SIZE})"
        max_size = f"(has(self.maxSize) ? self.maxSize : {MAX_SIZE})"
        queue = "self.rateLimiter == 'Queue'"
        ratio_only = (
            Validation(
                f"!({queue} && has(self.{name}))",
                f"{name} must not be set with rateLimiter Queue, which reads each item once, in "
                "order",
                path=f".{name}",
                got={name: f"self.{name}"},
            )
            for name in map(to_camel, _RATIO_ONLY)
        )
        return (
            *ratio_only,
            Validation(
                f"!({queue}) || has(self.maxSize)",
                f"maxSize {_UNTOLD}",
                path=".maxSize",
                got=("'none'",),
            ),
            Validation(
                f"{queue} || {min_size} <= {max_size}",
                "minSize must not exceed maxSize, or learning never starts",
                path=".minSize",
                got={"minSize": min_size, "maxSize": max_size},
            ),
            Validation(
                f"{queue} || !has(self.errorBuffer) || "
                f"(self.errorBuffer >= 1.0 && self.errorBuffer >= {samples})",
                "errorBuffer must be at least max(1, samplesPerInsert), or one side is held back "
                "for ever",
                path=".errorBuffer",
                got={"errorBuffer": "self.errorBuffer", "samplesPerInsert": samples},
            ),
        )

    def omitted(self) -> frozenset[str]:
        """Return what means nothing to a queue."""
        return frozenset(_RATIO_ONLY) if self.rate_limiter == "Queue" else frozenset()


def _broken_ratio(fields: Mapping[str, Any]) -> Iterator[BrokenRule]:
    match fields:
        case {"min_size": int(min_size), "max_size": int(max_size)} if min_size > max_size:
            yield BrokenRule(
                ("minSize",),
                "must not exceed maxSize, or learning never starts. "
                f"Got: minSize={min_size}, maxSize={max_size}.",
            )
    match fields:
        case {"error_buffer": float(buffer), "samples_per_insert": float(samples)} if buffer < max(
            1.0, samples
        ):
            yield BrokenRule(
                ("errorBuffer",),
                "must be at least max(1, samplesPerInsert), or one side is held back for ever. "
                f"Got: errorBuffer={buffer:g}, samplesPerInsert={samples:g}.",
            )


def smallest_error_buffer(samples_per_insert: float, items_per_step: int, batch_size: int) -> float:
    """Return the smallest error buffer with which acting and learning in turns never stop.

    The limiter keeps ``diff = samples_per_insert * inserts - samples`` within
    ``samples_per_insert * min_size`` plus or minus the buffer. Acting takes its turn if
    all ``items_per_step`` items that one step may write fit, learning if ``batch_size``
    samples do. Both stand still in two cases, which these bounds exclude:

    - between the limits, unless their distance, twice the buffer, holds one step and
      one batch: ``(items_per_step * samples_per_insert + batch_size) / 2``;
    - one item short of ``min_size``, where nothing can be sampled, unless the rest of
      one step fits above it: ``(items_per_step - 1) * samples_per_insert``.

    And one insert and one sample must fit: ``max(1, samples_per_insert)``.
    """
    return max(
        1.0,
        samples_per_insert,
        (items_per_step * samples_per_insert + batch_size) / 2,
        (items_per_step - 1) * samples_per_insert,
    )
