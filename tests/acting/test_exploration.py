from __future__ import annotations

import pytest
import torch

from greenroom.acting.exploration import EpsilonGreedy, Greedy
from greenroom.acting.schedules import LinearSchedule


def test_a_schedule_is_a_line_and_then_flat() -> None:
    schedule = LinearSchedule(1.0, 0.2, steps=100)
    assert [schedule(step) for step in (0, 50, 100, 10_000)] == pytest.approx([1.0, 0.6, 0.2, 0.2])


def test_a_schedule_of_no_steps_is_its_end() -> None:
    assert LinearSchedule(1.0, 0.2, steps=0)(0) == 0.2


def test_epsilon_is_the_share_of_uniform_actions() -> None:
    explore = EpsilonGreedy(LinearSchedule(1.0, 0.0, steps=100))
    values = torch.zeros(20_000, 4)
    values[:, 2] = 1.0

    actions = explore(values, torch.Generator().manual_seed(0), environment_steps=60)

    share = torch.bincount(actions, minlength=4) / len(actions)
    assert share.tolist() == pytest.approx([0.1, 0.1, 0.7, 0.1], abs=0.01)


def test_without_epsilon_it_is_greedy() -> None:
    values = torch.tensor([[0.0, 2.0, 1.0], [5.0, -1.0, 0.0]])
    explore = EpsilonGreedy(LinearSchedule(1.0, 0.0, steps=10))
    generator = torch.Generator().manual_seed(0)
    assert explore(values, generator, environment_steps=10).tolist() == [1, 0]
    assert Greedy()(values, generator, environment_steps=0).tolist() == [1, 0]


def test_equal_generators_give_equal_actions() -> None:
    explore = EpsilonGreedy(LinearSchedule(0.5, 0.5, steps=1))
    values = torch.randn(64, 6, generator=torch.Generator().manual_seed(9))
    first, second = (explore(values, torch.Generator().manual_seed(3), 0) for _ in range(2))
    assert torch.equal(first, second)
