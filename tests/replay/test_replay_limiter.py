import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.replay.limiter import Limiter
from greenroom.replay.tables import NO_LIMIT, RateLimiter


class ObviousLimiter:
    """Reverb's two rules as they stand in its documentation, one item at a time."""

    def __init__(self, rule, max_size):
        self.rule, self.max_size = rule, max_size
        self.inserts = self.samples = self.deletes = 0

    def copy(self):
        other = ObviousLimiter(self.rule, self.max_size)
        other.inserts, other.samples, other.deletes = self.inserts, self.samples, self.deletes
        return other

    def insert(self):
        if not self.inserts + 1 - self.deletes <= self.rule.min_size:
            diff = (self.inserts + 1) * self.rule.samples_per_insert - self.samples
            if not diff <= self.rule.max_diff:
                return False
        if self.inserts - self.deletes == self.max_size:
            self.deletes += 1
        self.inserts += 1
        return True

    def sample(self):
        if self.inserts - self.deletes < self.rule.min_size:
            return False
        diff = self.inserts * self.rule.samples_per_insert - self.samples - 1
        if not diff >= self.rule.min_diff:
            return False
        self.samples += 1
        return True


def admitted_one_by_one(ask, limit):
    count = 0
    while count < limit and ask():
        count += 1
    return count


@st.composite
def rules(draw):
    spi = draw(st.sampled_from([1.0, 32.0, 0.1, 1 / 3, 7.77]) | st.floats(0.01, 100.0))
    min_size = draw(st.integers(1, 12))
    kind = draw(st.sampled_from(["ratio", "min_size", "queue", "any"]))
    if kind == "ratio":
        buffer = max(1.0, spi) * draw(st.floats(1.0, 5.0))
        return RateLimiter.sample_to_insert_ratio(spi, min_size, buffer)
    if kind == "min_size":
        return RateLimiter.min_size_only(min_size)
    if kind == "queue":
        return RateLimiter.queue(draw(st.integers(1, 12)))
    low = draw(st.floats(-50, 50))
    return RateLimiter(spi, min_size, low, low + draw(st.floats(0, 100)))


@settings(max_examples=150, deadline=None)
@given(
    rules(),
    st.integers(0, 10),
    st.lists(st.tuples(st.sampled_from(["insert", "sample", "leave"]), st.integers(1, 40))),
)
def test_several_at_once_are_admitted_exactly_as_one_by_one(rule, room, calls):
    max_size = rule.min_size + room
    limiter, model = Limiter(rule), ObviousLimiter(rule, max_size)
    for call, count in calls:
        for asked in (1, count):
            one_by_one = model.copy()
            assert limiter.insertable(asked) == admitted_one_by_one(one_by_one.insert, asked)
            one_by_one = model.copy()
            assert limiter.samplable(asked) == admitted_one_by_one(one_by_one.sample, asked)
        if call == "insert":
            limiter.inserts += admitted_one_by_one(model.insert, count)
        elif call == "sample":
            limiter.samples += admitted_one_by_one(model.sample, count)
        elif model.inserts > model.deletes:  # as when an item was sampled often enough
            model.deletes += 1
        limiter.deletes = model.deletes
        assert limiter.size == model.inserts - model.deletes


def test_rounding_is_that_of_asking_one_by_one():
    # 1/3 - 3 - 1 rounds to more than 1/3 - 2 - 2, and only the former reaches min_diff.
    rule = RateLimiter(1 / 3, 1, min_diff=1 / 3 - 3 - 1, max_diff=0.0)
    limiter, model = Limiter(rule), ObviousLimiter(rule, 1)
    limiter.inserts = model.inserts = 1
    limiter.samples = model.samples = 2
    assert limiter.samplable(9) == admitted_one_by_one(model.sample, 9) == 2


def test_no_limit_admits_everything_at_once():
    limiter = Limiter(RateLimiter(1.0, 1, -NO_LIMIT, NO_LIMIT))
    assert limiter.insertable(10**12) == 10**12
    limiter.inserts = 1
    assert limiter.samplable(10**12) == 10**12
    assert limiter.insertable(0) == limiter.samplable(0) == 0


@pytest.mark.parametrize(
    ("inserts", "samples", "words"),
    [
        (7, 0, ["learner is behind", "diff 16 would exceed max_diff 14", "7 items", "0 samples"]),
        (4, 0, ["it has 4 items, needs 5"]),
        (7, 8, ["waiting for inserts", "diff 5 would fall below min_diff 6", "8 samples"]),
    ],
)
def test_reasons_state_the_rule_and_the_numbers(inserts, samples, words):
    limiter = Limiter(RateLimiter.sample_to_insert_ratio(2.0, min_size=5, error_buffer=4.0))
    limiter.inserts, limiter.samples = inserts, samples
    why = limiter.why_no_insert() if limiter.insertable(1) == 0 else limiter.why_no_sample()
    for word in words:
        assert word in why


def test_diff_is_what_is_paid_for_and_not_taken():
    limiter = Limiter(RateLimiter.min_size_only(1))
    limiter.inserts, limiter.samples, limiter.deletes = 9, 4, 2
    assert (limiter.diff, limiter.size) == (5.0, 7)
    assert np.isfinite(limiter.diff)
