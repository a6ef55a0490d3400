from __future__ import annotations

import numpy as np
import pytest
import torch

from greenroom.datasets import ReplayDataset
from greenroom.errors import ReplayClosed, ReplayTimeout
from greenroom.replay.embedded import EmbeddedReplay
from greenroom.replay.tables import Table
from greenroom.specs import ArraySpec

SIGNATURE = {"x": ArraySpec((2,), np.dtype(np.float32)), "n": ArraySpec((), np.dtype(np.int64))}


def make_replay(capacity: int = 100) -> EmbeddedReplay:
    return EmbeddedReplay([Table.queue("queue", capacity, SIGNATURE)], np.random.default_rng(0))


def insert(replay: EmbeddedReplay, numbers: range) -> None:
    n = np.array(numbers, np.int64)
    items = {"x": np.stack([n, -n], axis=1).astype(np.float32), "n": n}
    replay.writer().insert("queue", items, np.ones(len(n)))


@pytest.mark.parametrize("prefetch", [0, 3])
def test_batches_are_the_tables_items_in_order(prefetch: int) -> None:
    replay = make_replay()
    insert(replay, range(12))
    dataset = ReplayDataset(
        replay.sampler("queue"), "queue", batch_size=4, prefetch=prefetch, timeout=10.0
    )
    for batch, first in zip(dataset, (0, 4, 8), strict=False):
        assert batch.data["n"].tolist() == list(range(first, first + 4))
        assert batch.data["x"].dtype == torch.float32
        assert batch.data["x"].shape == (4, 2)
        assert batch.keys.dtype == np.uint64
        assert batch.probabilities.tolist() == [1.0] * 4
        if first == 8:
            break
    dataset.close()


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_wait_is_finite_and_loses_nothing(prefetch: int) -> None:
    replay = make_replay()
    dataset = ReplayDataset(
        replay.sampler("queue"), "queue", batch_size=4, prefetch=prefetch, timeout=0.05
    )
    insert(replay, range(3))
    with pytest.raises(ReplayTimeout):
        next(dataset)
    insert(replay, range(3, 8))
    numbers = []
    while len(numbers) < 8:
        try:
            numbers += next(dataset).data["n"].tolist()
        except ReplayTimeout:
            continue
    assert numbers == list(range(8))
    dataset.close()


def test_prefetching_stays_within_its_depth() -> None:
    replay = make_replay()
    insert(replay, range(40))
    dataset = ReplayDataset(
        replay.sampler("queue"), "queue", batch_size=4, prefetch=2, timeout=10.0
    )
    next(dataset)
    dataset.close()
    # One is taken, two are held ready, and one may be in the thread's hands.
    assert replay.info()["queue"].samples <= 4 * 4


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_closed_replay_ends_the_iteration(prefetch: int) -> None:
    replay = make_replay()
    dataset = ReplayDataset(
        replay.sampler("queue"), "queue", batch_size=4, prefetch=prefetch, timeout=10.0
    )
    replay.close()
    with pytest.raises(ReplayClosed):
        next(dataset)
    dataset.close()
