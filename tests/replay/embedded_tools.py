"""Random tables, random calls and what is asked of an embedded replay, for its tests."""

import numpy as np
from hypothesis import strategies as st
from replay_tools import make_table

from greenroom.errors import ReplayTimeout
from greenroom.replay.tables import Fifo, Lifo, Prioritized, RateLimiter, Uniform

SELECTORS = [Uniform(), Fifo(), Lifo(), Prioritized(0.7), Prioritized(0.0)]
LIMITERS = [
    RateLimiter.min_size_only(1),
    RateLimiter.min_size_only(4),
    RateLimiter.sample_to_insert_ratio(2.0, 3, 6.0),
    RateLimiter.sample_to_insert_ratio(0.3, 2, 2.5),
    RateLimiter.queue(5),
]
tables = st.builds(
    make_table,
    sampler=st.sampled_from(SELECTORS),
    remover=st.sampled_from(SELECTORS),
    limiter=st.sampled_from(LIMITERS),
    max_size=st.integers(4, 9),
    max_times_sampled=st.sampled_from([0, 1, 2, 5]),
)
calls = st.lists(
    st.tuples(
        st.sampled_from(["insert", "sample", "update"]),
        st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=1, max_size=14),
    ),
    max_size=25,
)


def sample_at_once(replay, count):
    """Sample what is admitted now, up to ``count``."""
    sampler = replay.sampler("t")
    before = replay.info()["t"].samples
    try:
        return sampler.sample(count, timeout=0.0)
    except ReplayTimeout:
        drawn = replay.info()["t"].samples - before
        return sampler.sample(drawn, timeout=0.0) if drawn else None


def values_kept(replay):
    state = replay.state()["t"]
    order = np.argsort(state["keys"])
    return state["columns"]["0"]["values"][order].tolist()
