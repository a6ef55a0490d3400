"""Whole lives of an experiment, in which pods, operator, status and clock misbehave."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_cluster import Life, SimulatedCluster

from greenroom_operator.stored import condition

CHANCES = st.sampled_from([0.0, 0.0, 0.003, 0.02])
LIVES = st.builds(
    Life,
    crash=CHANCES,
    lost_node=st.sampled_from([0.0, 0.0, 0.3, 1.0]),
    lost_status=CHANCES,
    restart=st.sampled_from([0.0, 0.02, 0.3]),
    down=CHANCES,
    clock_jump=CHANCES,
    diverges=st.booleans(),
    saves_in=st.sampled_from([0, 5, 40, 1_000]),
    target=st.sampled_from([10**9, 10**9, 60, 200]),
)
# Actors, learner and replay leave one after the other, each on a node that is lost.
LONGEST_STOP = (30 + 30) + (90 + 30) + (20 + 30) + 20


def live(cluster, seconds):
    for _ in range(seconds):
        cluster.step()


def quiet(cluster):
    """From here on nothing unforeseen happens."""
    life = cluster.life
    life.crash = life.lost_status = life.restart = life.down = life.clock_jump = 0.0
    cluster.down_for = cluster.skew = 0


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32), LIVES, st.booleans())
def test_suspending_ends_for_good_within_a_bound_whatever_happened_before(seed, life, suspended):
    random = Random(seed)
    cluster = SimulatedCluster(random, life, suspend=suspended)
    for _ in range(random.randint(0, 4)):
        live(cluster, random.randint(1, 60))
        cluster.suspend = not cluster.suspend
    cluster.suspend = True
    quiet(cluster)
    live(cluster, LONGEST_STOP)
    assert cluster.status["phase"] in ("Suspended", "Succeeded", "Failed")
    assert set(cluster.wanted.values()) == {0}
    assert all(pod.lost for pod in cluster.pods)
    assert cluster.status["actors"]["desired"] == 0
    tells_the_truth_of_the_checkpoint(cluster)
    # At rest nothing is written.
    writes = cluster.writes
    live(cluster, 100)
    assert cluster.writes == writes


def tells_the_truth_of_the_checkpoint(cluster):
    status, reason, _ = (
        condition(cluster.status, "Suspended")[name] for name in ("status", "reason", "message")
    )
    if status != "True":
        return
    volume, known = cluster.volume, cluster.status.get("checkpoint")
    if reason == "CheckpointRecorded":
        assert volume.checkpoint is not None
        assert volume.checkpoint.final
        assert known["environmentSteps"] == volume.checkpoint.environment_steps
        assert known["learnerSteps"] == volume.checkpoint.learner_steps
        assert cluster.status["environmentSteps"] == volume.environment_steps
    elif reason == "NotStarted":
        assert not cluster.learner_ran or cluster.status_was_lost or cluster.life.down
    else:
        assert reason == "CheckpointMissed"
        assert cluster.learner_ran


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("saves_in", [0, 5, 40])
def test_a_learner_that_saves_in_time_is_recorded(seed, saves_in):
    cluster = SimulatedCluster(Random(seed), Life(saves_in=saves_in))
    live(cluster, 60)
    assert cluster.status["phase"] == "Running"
    cluster.suspend = True
    live(cluster, LONGEST_STOP)
    assert condition(cluster.status, "Suspended")["reason"] == "CheckpointRecorded"
    tells_the_truth_of_the_checkpoint(cluster)
    before = cluster.status["learnerSteps"]
    cluster.suspend = False
    live(cluster, 60)
    assert cluster.status["phase"] == "Running"
    assert cluster.status["learnerSteps"] >= before


@pytest.mark.parametrize("seed", range(5))
def test_a_learner_that_does_not_save_in_time_is_missed(seed):
    cluster = SimulatedCluster(Random(seed), Life(saves_in=1_000))
    live(cluster, 60)
    cluster.suspend = True
    live(cluster, LONGEST_STOP)
    assert condition(cluster.status, "Suspended")["reason"] == "CheckpointMissed"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("life", "phase"), [(Life(target=60), "Succeeded"), (Life(diverges=True), "Failed")]
)
def test_an_end_is_reached_without_a_wish(seed, life, phase):
    cluster = SimulatedCluster(Random(seed), life)
    live(cluster, 400)
    assert cluster.status["phase"] == phase
    assert cluster.pods == []
    assert cluster.ended is not None


def test_a_run_of_an_hour_writes_about_twice_a_minute():
    cluster = SimulatedCluster(Random(0), Life())
    live(cluster, 3_600)
    assert cluster.status["phase"] == "Running"
    assert 100 < cluster.writes <= 130
