"""The rules between fields, at their borders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from greenroom_api import (
    DQN,
    IMPALA,
    Actors,
    Agent,
    Environment,
    ExperimentSpec,
    PrioritizedReplay,
    Replay,
    Stop,
    smallest_error_buffer,
)

ENVIRONMENT = Environment(factory="tasks:make")


def spec(**sections: Any) -> ExperimentSpec:
    return ExperimentSpec(
        **{
            "environment": ENVIRONMENT,
            "agent": Agent(dqn=DQN()),
            "stop": Stop(learner_steps=1),
            **sections,
        }
    )


def broken(**sections: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        spec(**sections)
    return [(".".join(map(str, error["loc"])), error["msg"]) for error in caught.value.errors()]


def test_min_size_may_equal_max_size() -> None:
    assert Replay(min_size=10, max_size=10).max_size == 10
    with pytest.raises(ValidationError, match="Got: minSize=11, maxSize=10"):
        Replay(min_size=11, max_size=10)
    with pytest.raises(ValidationError, match="Got: minSize=1000, maxSize=999"):
        Replay(max_size=999)


@pytest.mark.parametrize(("samples", "smallest"), [(32.0, 32.0), (0.5, 1.0)])
def test_one_insert_and_one_sample_fit_into_the_error_buffer(
    samples: float, smallest: float
) -> None:
    Replay(samples_per_insert=samples, error_buffer=smallest)
    with pytest.raises(ValidationError, match=r"must be at least max\(1, samplesPerInsert\)"):
        Replay(samples_per_insert=samples, error_buffer=smallest - 0.01)


@pytest.mark.parametrize("field", ["samples_per_insert", "min_size", "error_buffer"])
def test_a_queue_has_no_ratio(field: str) -> None:
    with pytest.raises(ValidationError, match="must not be set with rateLimiter Queue") as caught:
        Replay(rate_limiter="Queue", max_size=10, **{field: 100})
    assert len(caught.value.errors()) == 1


def test_a_queue_must_be_told_its_size() -> None:
    with pytest.raises(ValidationError, match=r"maxSize\n.*must be set with rateLimiter Queue"):
        Replay(rate_limiter="Queue")
    assert Replay().max_size == 100_000


def test_a_queue_needs_nothing_but_room() -> None:
    replay = Replay(rate_limiter="Queue", max_size=64)
    assert spec(replay=replay).replay.model_dump(by_alias=True) == {
        "rateLimiter": "Queue",
        "maxSize": 64,
        "storage": {"size": "10Gi"},
    }


def test_a_queue_holds_a_batch_beside_a_step() -> None:
    sections = {"agent": Agent(dqn=DQN(n_step=3)), "actors": Actors(environments_per_actor=2)}
    spec(replay=Replay(rate_limiter="Queue", max_size=69), **sections)
    ((path, message),) = broken(replay=Replay(rate_limiter="Queue", max_size=68), **sections)
    assert path == "replay.maxSize"
    assert "= 64 + 3 * 2 - 1 = 69" in message
    assert message.endswith("Got: 68.")


def test_a_queue_cannot_be_prioritized() -> None:
    agent = Agent(dqn=DQN(prioritized=PrioritizedReplay()))
    spec(agent=agent)
    ((path, message),) = broken(agent=agent, replay=Replay(rate_limiter="Queue", max_size=100))
    assert path == "agent.dqn.prioritized"
    assert "read in order" in message


def test_impala_learns_from_a_queue_alone() -> None:
    agent = Agent(impala=IMPALA())
    ((path, message),) = broken(agent=agent)
    assert path == "replay.rateLimiter"
    assert message == (
        "must be Queue with agent impala, which learns from each unroll once, in order. "
        "Got: SampleToInsertRatio."
    )


def test_a_queue_holds_a_batch_of_unrolls_beside_a_step() -> None:
    sections = {
        "agent": Agent(impala=IMPALA(batch_size=16, unroll_length=50)),
        "actors": Actors(environments_per_actor=8),
    }
    spec(replay=Replay(rate_limiter="Queue", max_size=23), **sections)
    ((path, message),) = broken(replay=Replay(rate_limiter="Queue", max_size=22), **sections)
    assert path == "replay.maxSize"
    assert "at least batchSize + environmentsPerActor - 1 = 16 + 8 - 1 = 23" in message
    assert message.endswith("Got: 22.")


def test_traces_are_clipped_no_later_than_errors() -> None:
    assert IMPALA(rho_clip=0.5, c_clip=0.5).c_clip == 0.5
    with pytest.raises(ValidationError, match=r"exceed rhoClip, .* Got: cClip=1, rhoClip=0\.5\."):
        IMPALA(rho_clip=0.5)


def test_training_is_longer_than_the_filling_of_the_table() -> None:
    spec(stop=Stop(environment_steps=1_001))
    ((path, message),) = broken(stop=Stop(environment_steps=1_000))
    assert path == "stop.environmentSteps"
    assert message.endswith("Got: environmentSteps=1000, minSize=1000.")
    spec(stop=Stop(environment_steps=1_000), replay=Replay(rate_limiter="Queue", max_size=100))


def test_a_window_holds_a_step_and_a_batch() -> None:
    spec(replay=Replay(error_buffer=48))
    ((path, message),) = broken(replay=Replay(error_buffer=47.5))
    assert path == "replay.errorBuffer"
    assert "= (1 * 1 * 32 + 64) / 2 = 48" in message
    assert message.endswith("Got: 47.5.")


def test_a_step_fits_above_the_smallest_size() -> None:
    actors = Actors(environments_per_actor=8)
    spec(replay=Replay(error_buffer=224), actors=actors)
    ((path, message),) = broken(replay=Replay(error_buffer=200), actors=actors)
    assert path == "replay.errorBuffer"
    assert "= (1 * 8 - 1) * 32 = 224" in message


def test_custom_agents_are_not_judged_by_dqn() -> None:
    agent = Agent.model_validate({"custom": {"builder": "a:B"}})
    spec(agent=agent, replay=Replay(error_buffer=33), stop=Stop(environment_steps=10))


@pytest.mark.parametrize(
    "section",
    [
        lambda: Agent(),
        lambda: Agent.model_validate({"dqn": {}, "custom": {"builder": "a:B"}}),
        lambda: Environment(),
        lambda: Environment.model_validate({"factory": "a:b", "gymnasium": {"id": "A-v0"}}),
        lambda: Stop(),
        lambda: Stop(learner_steps=None),
    ],
)
def test_members_that_must_be_chosen(section: Any) -> None:
    with pytest.raises(ValidationError, match="must be set"):
        section()


def turns(
    samples_per_insert: float, min_size: int, error_buffer: float, items: int, batch_size: int
) -> Iterator[tuple[bool, bool]]:
    """Reverb's rate limiter in lock-step: yields who can take a turn, before each."""
    middle = samples_per_insert * min_size
    inserts, difference = 0, 0.0
    while True:
        after = difference + items * samples_per_insert
        can_act = inserts + items <= min_size or after <= middle + error_buffer
        can_learn = inserts >= min_size and difference - batch_size >= middle - error_buffer
        yield can_act, can_learn
        # A step may write less than it can, as where no episode ends.
        if can_act:
            written = 1 + inserts % items
            inserts += written
            difference += written * samples_per_insert
        elif can_learn:
            difference -= batch_size


LIMITERS = {
    "samples_per_insert": st.integers(1, 64).map(lambda eighths: eighths / 8),
    "min_size": st.integers(1, 40),
    "items": st.integers(1, 12),
    "batch_size": st.integers(1, 64),
}


@settings(max_examples=150, deadline=None)
@given(**LIMITERS)
def test_the_smallest_error_buffer_never_stops_both(
    samples_per_insert: float, min_size: int, items: int, batch_size: int
) -> None:
    buffer = smallest_error_buffer(samples_per_insert, items, batch_size)
    play = turns(samples_per_insert, min_size, buffer, items, batch_size)
    for _ in range(300):
        assert any(next(play))


@pytest.mark.parametrize(
    ("samples_per_insert", "min_size", "items", "batch_size", "buffer"),
    [(1.0, 100, 1, 64, 31.0), (32.0, 2, 8, 64, 223.0)],
    ids=["between the limits", "short of min_size"],
)
def test_smaller_buffers_can_stop_both(
    samples_per_insert: float, min_size: int, items: int, batch_size: int, buffer: float
) -> None:
    assert buffer < smallest_error_buffer(samples_per_insert, items, batch_size)
    play = turns(samples_per_insert, min_size, buffer, items, batch_size)
    assert not all(any(next(play)) for _ in range(300))
