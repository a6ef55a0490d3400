"""Taking turns and working at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import dqn, experiment, run

from greenroom.errors import ConfigurationError, EnvironmentFault, GreenroomError
from greenroom.launch.lockstep import LockstepDriver, check_window
from greenroom.launch.overlapped import OverlappedDriver
from greenroom.replay.embedded import EmbeddedReplay
from greenroom.replay.tables import Fifo, RateLimiter, Table, Uniform
from greenroom.specs import ArraySpec
from greenroom.training.assembly import assemble
from greenroom.training.drivers import Limits

SPEC = ArraySpec((), np.dtype(np.float32))


def replay_with(limiter: RateLimiter, max_size: int = 10_000) -> EmbeddedReplay:
    table = Table("t", Uniform(), Fifo(), limiter, max_size, SPEC)
    return EmbeddedReplay([table], np.random.default_rng(0))


@settings(max_examples=200, deadline=None)
@given(
    samples=st.sampled_from([0.25, 0.5, 1.0, 3.0, 7.5]),
    min_size=st.integers(1, 12),
    buffer=st.floats(7.5, 60),
    items=st.integers(1, 6),
    batch=st.integers(1, 24),
    written=st.lists(st.integers(0, 6), min_size=1, max_size=40),
)
def test_turns_never_come_to_a_stand_in_a_window_that_is_accepted(
    samples: float, min_size: int, buffer: float, items: int, batch: int, written: list[int]
) -> None:
    """Whatever each step writes, up to ``items``: acting or learning can go on."""
    replay = replay_with(RateLimiter.sample_to_insert_ratio(samples, min_size, buffer))
    try:
        check_window(replay, "t", items, batch)
    except ConfigurationError:
        return
    writer, sampler = replay.writer(), replay.sampler("t")
    for wanted in written:
        acted = replay.can_insert("t", items)
        if acted:
            count = min(wanted, items)
            if count:
                writer.insert("t", np.zeros(count, np.float32), np.ones(count))
                assert writer.pending == 0
        learnt = not acted and replay.can_sample("t", batch)
        if learnt:
            sampler.sample(batch, timeout=1.0)
        assert acted or learnt, replay.info()


def test_a_window_without_bounds_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="always admits inserts"):
        check_window(replay_with(RateLimiter.min_size_only(1)), "t", 1, 1)


@pytest.mark.parametrize(
    ("limiter", "message"),
    [
        (RateLimiter.sample_to_insert_ratio(2.0, 100, 10.0), r"of 64: 65 samples. Got: 20\."),
        (RateLimiter.queue(32), r"of 64: 64 samples. Got: 32\."),
    ],
)
def test_a_small_window_is_refused_with_the_arithmetic(limiter: RateLimiter, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check_window(replay_with(limiter), "t", items=1, batch_size=64)


def test_a_limit_is_reached_exactly_and_held() -> None:
    small = experiment()
    parts = assemble(small)
    driver = LockstepDriver(small, parts)
    for _ in range(2):
        driver.advance(Limits(environment_steps=250), lambda: False)
        assert parts.actor.environment_steps == 250
    steps = parts.learning.learner_steps
    driver.advance(Limits(learner_steps=steps + 3), lambda: False)
    assert parts.learning.learner_steps == steps + 3
    parts.close()


@pytest.mark.parametrize(
    "changes",
    [{}, {"replay": {"rateLimiter": "Queue", "maxSize": 50}}, {"agent": dqn(prioritized={})}],
    ids=["ratio", "queue", "prioritized"],
)
def test_overlapped_stays_within_the_rate_limiters_window(changes: dict[str, Any]) -> None:
    small = experiment(**changes)
    parts = assemble(small)
    driver = OverlappedDriver(small, parts)
    for limit in (400, 800, 1200):
        driver.advance(Limits(environment_steps=limit), lambda: False)
        assert parts.actor.environment_steps == limit
        (info,) = parts.replay.info().values()
        assert info.inserts + parts.writer.pending == limit
        assert info.samples == 8 * parts.learning.learner_steps
        if info.inserts > info.min_size:
            assert info.min_diff <= info.diff <= info.max_diff
    assert parts.learning.learner_steps > 0
    driver.close()
    parts.close()


def test_the_acting_process_is_missed_and_named(tmp_path: Path) -> None:
    small = experiment()
    parts = assemble(small)
    driver = OverlappedDriver(small, parts)
    driver.advance(Limits(environment_steps=200), lambda: False)
    driver._process.kill()
    with pytest.raises(GreenroomError, match=r"acting process .* status -9"):
        driver.advance(Limits(environment_steps=10_000), lambda: False)
    driver.close()
    parts.close()


def test_a_fault_in_the_acting_process_is_the_learners_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BREAKING", "raise")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    broken = experiment(environment={"factory": "test_faults:Breaking"})
    with pytest.raises(EnvironmentFault, match="the robot fell over"):
        run(tmp_path / "run", broken, launch="overlapped")
    # What came before the step that failed was kept.
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 1


def test_a_run_begun_overlapped_resumes_in_lockstep(tmp_path: Path) -> None:
    run(tmp_path / "run", experiment(stop={"environmentSteps": 600}), launch="overlapped")
    result = run(tmp_path / "run", experiment(), resume=True, launch="lockstep")
    assert result.state == "Succeeded"
    assert result.environment_steps == 1500
