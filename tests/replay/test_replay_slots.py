import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_tools import chi_square_is_plausible

from greenroom.replay.slots import InsertionOrder, Slots

CAPACITY = 13


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(-CAPACITY, CAPACITY), max_size=40), st.randoms(use_true_random=False))
def test_slots_and_their_order_match_a_plain_list(changes, random):
    """Positive numbers occupy so many slots, negative ones release them, chosen by chance."""
    slots, order, model = Slots(CAPACITY), InsertionOrder(CAPACITY), []
    for change in changes:
        if change > 0:
            new = slots.occupy(min(change, CAPACITY - len(model)))
            assert len(np.unique(new)) == len(new)
            assert not set(new.tolist()) & set(model)
            order.add(new)
            model += new.tolist()
        else:
            old = random.sample(model, min(-change, len(model)))
            slots.release(np.array(old, np.intp))
            order.remove(np.array(old, np.intp))
            model = [slot for slot in model if slot not in old]
        assert len(slots) == len(model)
        assert sorted(slots.occupied) == sorted(model)
        for count in (1, 4, CAPACITY):
            assert order.oldest(count).tolist() == model[:count]
            assert order.newest(count).tolist() == model[::-1][:count]


def test_slots_never_used_are_taken_in_order():
    slots = Slots(6)
    slots.occupy(3)
    slots.release(np.array([0, 2]))
    assert sorted(slots.occupy(3)) == [0, 2, 3]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-5, 5), max_size=20), st.randoms(use_true_random=False))
def test_restored_slots_go_on_in_the_same_way(changes, random):
    slots = Slots(CAPACITY)
    for change in changes:
        if change > 0:
            slots.occupy(min(change, CAPACITY - len(slots)))
        else:
            old = random.sample(slots.occupied.tolist(), min(-change, len(slots)))
            slots.release(np.array(old, np.intp))
    restored = Slots(CAPACITY)
    restored.restore(slots.state())
    np.testing.assert_array_equal(restored.occupied, slots.occupied)
    rest = CAPACITY - len(slots)
    np.testing.assert_array_equal(restored.occupy(rest), slots.occupy(rest))
    both = [every.draw(30, np.random.default_rng(1)) for every in (slots, restored)]
    np.testing.assert_array_equal(*both)


def test_draws_are_equally_likely():
    slots = Slots(30)
    slots.occupy(30)
    slots.release(np.arange(0, 30, 3))
    counts = np.bincount(slots.draw(20_000, np.random.default_rng(5)), minlength=30)
    assert counts[::3].sum() == 0
    assert chi_square_is_plausible(np.delete(counts, np.arange(0, 30, 3)), np.full(20, 1 / 20))
