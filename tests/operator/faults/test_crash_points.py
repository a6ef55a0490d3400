"""A new operator goes on from wherever another one was cut off and killed.

Each step of an experiment's life is cut at each of its writes, in two ways: the API server
has done it and nobody was told, or it never got it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from life import Crash, Life

from e2e.cluster.cluster import Cluster

# Creation has about 16. On a slow machine a start is seen in more states; each is one more write
# of the status.
MOST_WRITES = 26
CHILDREN = 12


@pytest.fixture(scope="module")
def undisturbed(crd: None, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Life:
    """A life in which nothing goes wrong."""
    with Life(cluster, tmp_path_factory.mktemp("undisturbed")) as life:
        life.lead()
    return life


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_step_has_more_writes_than_are_cut(undisturbed: Life) -> None:
    assert max(undisturbed.writes.values()) <= MOST_WRITES, undisturbed.writes
    # Kubernetes removes what an experiment owns; an event of before may come late.
    assert undisturbed.writes["delete"] <= 1


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("write", range(1, MOST_WRITES + 1))
def test_a_new_operator_goes_on_after_each_write(
    undisturbed: Life, cluster: Cluster, tmp_path: Path, write: int
) -> None:
    if write > max(undisturbed.writes.values()):
        return  # no step has so many on this machine: that life would be the undisturbed one

    def lead(delivered: bool) -> Life:
        crash = Crash(write, delivered)
        with Life(cluster, tmp_path, crash, undisturbed.snapshots) as life:
            life.lead()
        return life

    with ThreadPoolExecutor() as pool:
        lives = list(pool.map(lead, (True, False)))
    for life in lives:
        # Creation alone has so many, one for each child.
        assert life.crashes or write > CHILDREN
        # A turn is told once; what was to be told at a crash is not told again.
        for reason in set(life.events):
            assert life.events.count(reason) <= undisturbed.events.count(reason), life.events
