"""The rules between sections of ``spec``, each in Python and in CEL.

K is the most items that one vector step writes: of dqn ``nStep * environmentsPerActor``
(where an episode ends, n-step transitions of 1 to n steps are completed at once), of
impala ``environmentsPerActor``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic.alias_generators import to_camel

from greenroom_api.agent import Agent
from greenroom_api.base import BrokenRule, Validation
from greenroom_api.dqn import DQN, PrioritizedReplay
from greenroom_api.impala import IMPALA
from greenroom_api.replay import MIN_SIZE, SAMPLES_PER_INSERT, Replay
from greenroom_api.roles import Actors, Stop
from greenroom_api.values import show

_DQN = "self.agent.dqn"
_IMPALA = "self.agent.impala"
_QUEUE = "self.replay.rateLimiter == 'Queue'"
_SAMPLES = (
    f"(has(self.replay.samplesPerInsert) ? self.replay.samplesPerInsert : {SAMPLES_PER_INSERT})"
)
_MIN_SIZE = f"(has(self.replay.minSize) ? self.replay.minSize : {MIN_SIZE})"
_ITEMS = f"({_DQN}.nStep * self.actors.environmentsPerActor)"


def broken_rules(
    agent: Agent | None, replay: Replay | None, actors: Actors | None, stop: Stop | None
) -> Iterator[BrokenRule]:
    """Yield the rules that do not hold; None is a section that is not in order itself."""
    if agent is None or replay is None:
        return
    if agent.dqn is not None:
        yield from _of_dqn(agent.dqn, replay, actors, stop)
    if agent.impala is not None:
        yield from _of_impala(agent.impala, replay, actors)


def _of_dqn(
    dqn: DQN, replay: Replay, actors: Actors | None, stop: Stop | None
) -> Iterator[BrokenRule]:
    if replay.rate_limiter == "Queue":
        yield from _prioritized_queue(dqn)
        if actors is not None:
            factors = f"{dqn.n_step} * {actors.environments_per_actor}"
            items = dqn.n_step * actors.environments_per_actor
            yield from _queue_capacity(
                dqn.batch_size, items, "nStep * environmentsPerActor", factors, replay
            )
    else:
        if actors is not None:
            yield from _window(dqn, replay, actors)
        if stop is not None:
            yield from _learning_starts(replay, stop)


def _of_impala(impala: IMPALA, replay: Replay, actors: Actors | None) -> Iterator[BrokenRule]:
    if replay.rate_limiter != "Queue":
        yield BrokenRule(
            ("replay", "rateLimiter"),
            "must be Queue with agent impala, which learns from each unroll once, in order. "
            f"Got: {replay.rate_limiter}.",
        )
    elif actors is not None:
        items = actors.environments_per_actor
        yield from _queue_capacity(
            impala.batch_size, items, "environmentsPerActor", f"{items}", replay
        )


def validations() -> tuple[Validation, ...]:
    """Return the same rules for the API server."""
    ratio_buffer = f"{_QUEUE} || !has(self.replay.errorBuffer) || !has({_DQN})"
    return (
        Validation(
            f"!({_QUEUE} && has({_DQN}) && has({_DQN}.prioritized))",
            "prioritized must not be set with rateLimiter Queue, which is read in order",
            path=".agent.dqn.prioritized",
            got={
                name: f"{_DQN}.prioritized.{name}"
                for name in map(to_camel, PrioritizedReplay.model_fields)
            },
        ),
        _queue_room(_DQN, _ITEMS, "nStep * environmentsPerActor", {"nStep": f"{_DQN}.nStep"}),
        Validation(
            f"{_QUEUE} || !has({_IMPALA})",
            "rateLimiter must be Queue with agent impala, which learns from each unroll once, in "
            "order",
            path=".replay.rateLimiter",
            got={"rateLimiter": "self.replay.rateLimiter"},
        ),
        _queue_room(_IMPALA, "self.actors.environmentsPerActor", "environmentsPerActor", {}),
        Validation(
            f"{ratio_buffer} || 2.0 * self.replay.errorBuffer >= "
            f"double({_ITEMS}) * {_SAMPLES} + double({_DQN}.batchSize)",
            "errorBuffer must be at least (nStep * environmentsPerActor * samplesPerInsert + "
            "batchSize) / 2, or acting and learning in turns comes to a stand",
            path=".replay.errorBuffer",
            got={"errorBuffer": "self.replay.errorBuffer"},
        ),
        Validation(
            f"{ratio_buffer} || self.replay.errorBuffer >= double({_ITEMS} - 1) * {_SAMPLES}",
            "errorBuffer must be at least (nStep * environmentsPerActor - 1) * samplesPerInsert, "
            "or acting stops short of minSize",
            path=".replay.errorBuffer",
            got={"errorBuffer": "self.replay.errorBuffer"},
        ),
        Validation(
            f"{_QUEUE} || !has({_DQN}) || !has(self.stop.environmentSteps) || "
            f"self.stop.environmentSteps > {_MIN_SIZE}",
            "stop.environmentSteps must exceed replay.minSize, or learning never starts",
            path=".stop.environmentSteps",
            got={"environmentSteps": "self.stop.environmentSteps", "minSize": _MIN_SIZE},
        ),
    )


def _queue_room(agent: str, items: str, names: str, factors: Mapping[str, str]) -> Validation:
    """See `_queue_capacity`."""
    return Validation(
        f"!({_QUEUE} && has({agent}) && has(self.replay.maxSize)) || "
        f"self.replay.maxSize >= {agent}.batchSize + {items} - 1",
        f"maxSize of a Queue must be at least batchSize + {names} - 1, or acting and learning in "
        "turns comes to a stand",
        path=".replay.maxSize",
        got={
            "maxSize": "self.replay.maxSize",
            "batchSize": f"{agent}.batchSize",
            **factors,
            "environmentsPerActor": "self.actors.environmentsPerActor",
        },
    )


def _prioritized_queue(dqn: DQN) -> Iterator[BrokenRule]:
    if dqn.prioritized is not None:
        yield BrokenRule(
            ("agent", "dqn", "prioritized"),
            "must not be set with rateLimiter Queue, which is read in order. "
            f"Got: {show(dqn.prioritized.model_dump(by_alias=True))}.",
        )


def _queue_capacity(
    batch_size: int, items: int, names: str, factors: str, replay: Replay
) -> Iterator[BrokenRule]:
    """Neither a step fits nor a batch is there while capacity - K < waiting < batch size.

    ``names`` and ``factors`` are what K, ``items``, is the product of.
    """
    needed = batch_size + items - 1
    if replay.max_size < needed:
        yield BrokenRule(
            ("replay", "maxSize"),
            f"with rateLimiter Queue must be at least batchSize + {names} - 1 "
            f"= {batch_size} + {factors} - 1 = {needed}, "
            f"or acting and learning in turns comes to a stand. Got: {replay.max_size}.",
        )


def _window(dqn: DQN, replay: Replay, actors: Actors) -> Iterator[BrokenRule]:
    """See `greenroom_api.smallest_error_buffer` for where the two bounds come from."""
    buffer, samples = replay.error_buffer, replay.samples_per_insert
    if buffer is None:
        return
    factors = f"{dqn.n_step} * {actors.environments_per_actor}"
    items = dqn.n_step * actors.environments_per_actor
    turns = (items * samples + dqn.batch_size) / 2
    if buffer < turns:
        yield BrokenRule(
            ("replay", "errorBuffer"),
            "must be at least (nStep * environmentsPerActor * samplesPerInsert + batchSize) / 2 "
            f"= ({factors} * {samples:g} + {dqn.batch_size}) / 2 = {turns:g}, "
            f"or acting and learning in turns comes to a stand. Got: {buffer:g}.",
        )
    start = (items - 1) * samples
    if buffer < start:
        yield BrokenRule(
            ("replay", "errorBuffer"),
            "must be at least (nStep * environmentsPerActor - 1) * samplesPerInsert "
            f"= ({factors} - 1) * {samples:g} = {start:g}, "
            f"or acting stops short of minSize. Got: {buffer:g}.",
        )


def _learning_starts(replay: Replay, stop: Stop) -> Iterator[BrokenRule]:
    steps = stop.environment_steps
    if steps is not None and steps <= replay.min_size:
        yield BrokenRule(
            ("stop", "environmentSteps"),
            "must exceed replay.minSize, or learning never starts. "
            f"Got: environmentSteps={steps}, minSize={replay.min_size}.",
        )
