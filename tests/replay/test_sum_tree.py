import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_tools import chi_square_is_plausible

from greenroom.replay.sum_tree import SumTree

weights = st.sampled_from([0.0, 1.0, 0.1, 1e-300, 1e300, 3.3]) | st.floats(0.0, 1e6)


def rebuilt(values):
    """A tree that never held other values than these."""
    tree = SumTree(len(values))
    tree.set(np.arange(len(values)), values)
    return tree


@st.composite
def histories(draw):
    capacity = draw(st.integers(1, 70))
    slots = st.integers(0, capacity - 1)
    change = st.lists(st.tuples(slots, weights), min_size=1, max_size=8)
    # Reading or not reading between changes decides how the sums are brought up to date.
    return capacity, draw(st.lists(st.tuples(change, st.booleans()), max_size=12))


@settings(max_examples=150, deadline=None)
@given(histories())
def test_sums_carry_no_history(history):
    capacity, changes = history
    tree, values = SumTree(capacity), np.zeros(capacity)
    for change, read in changes:
        slots, new = map(np.array, zip(*change, strict=True))
        tree.set(slots, new)
        for slot, weight in change:
            values[slot] = weight
        if read:
            assert tree.total == rebuilt(values).total
    np.testing.assert_array_equal(tree.get(np.arange(capacity)), values)
    fresh = rebuilt(values)
    assert tree.total == fresh.total
    assert tree.total == pytest.approx(values.sum(), rel=1e-12)
    if tree.total > 0.0:
        targets = np.linspace(0.0, 1.0, 200, endpoint=False) * tree.total
        np.testing.assert_array_equal(tree.find(targets), fresh.find(targets))


@settings(max_examples=150, deadline=None)
@given(st.lists(weights, min_size=1, max_size=70), st.lists(st.floats(0, 1, exclude_max=True)))
def test_a_target_lies_in_the_share_of_the_slot_found(values, shares):
    values = np.array(values)
    tree = rebuilt(values)
    if tree.total == 0.0:
        return
    targets = np.array([0.0, *shares]) * tree.total
    before = targets.copy()
    slots = tree.find(targets)
    np.testing.assert_array_equal(targets, before)  # the caller's array is left alone
    assert (values[slots] > 0.0).all()
    ends = np.cumsum(values)
    slack = 1e-9 * tree.total
    assert (targets <= ends[slots] + slack).all()
    assert (targets >= ends[slots] - values[slots] - slack).all()


@pytest.mark.parametrize("last", [0, 1, 5, 8, 12])
def test_rounding_past_the_end_finds_the_last_weight(last):
    values = np.zeros(13)
    values[: last + 1] = 0.1
    tree = rebuilt(values)
    assert tree.find(np.array([tree.total, 2 * tree.total])).tolist() == [last, last]


def test_draws_are_in_proportion_over_many_slots():
    generator = np.random.default_rng(3)
    values = generator.random(1_000) * (generator.random(1_000) < 0.5)
    tree = rebuilt(values)
    slots = tree.find(generator.random(100_000) * tree.total)
    positive = values > 0
    counts = np.bincount(slots, minlength=1_000)
    assert counts[~positive].sum() == 0
    assert chi_square_is_plausible(counts[positive], values[positive] / values.sum())
