"""The loss of DQN against its equations, written out one element at a time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.agents.dqn.losses import QLearning, importance_weights


def huber(error: float, delta: float) -> float:
    size = abs(error)
    return 0.5 * size**2 if size <= delta else delta * (size - 0.5 * delta)


@settings(max_examples=50, deadline=None)
@given(
    batch=st.integers(1, 6),
    actions=st.integers(1, 4),
    seed=st.integers(0, 10_000),
    double=st.booleans(),
    weighted=st.booleans(),
)
def test_loss_is_the_equation(
    batch: int, actions: int, seed: int, double: bool, weighted: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    q, target, selector = (3 * torch.randn(batch, actions, generator=generator) for _ in range(3))
    action = torch.randint(actions, (batch,), generator=generator)
    reward = torch.randn(batch, generator=generator)
    discount = torch.rand(batch, generator=generator)
    weight = torch.rand(batch, generator=generator)

    output = QLearning(huber_delta=1.0)(
        q,
        action,
        reward,
        discount,
        target,
        selector if double else None,
        weight if weighted else None,
    )

    losses, errors = [], []
    for b in range(batch):
        best = int((selector if double else target)[b].argmax())
        error = reward[b] + discount[b] * target[b, best] - q[b, action[b]]
        errors.append(float(error))
        losses.append(huber(float(error), 1.0) * (float(weight[b]) if weighted else 1.0))
    assert output.td_error.tolist() == pytest.approx(errors, abs=1e-4)
    assert float(output.loss) == pytest.approx(sum(losses) / batch, abs=1e-4)


def test_only_the_online_values_get_gradients() -> None:
    q, target, selector = (torch.ones(2, 3, requires_grad=True) for _ in range(3))
    action, ones = torch.tensor([0, 2]), torch.ones(2)

    QLearning()(q, action, 5 * ones, ones, target, selector).loss.backward()

    assert target.grad is None
    assert selector.grad is None
    assert q.grad is not None
    assert q.grad.nonzero().tolist() == [[0, 0], [1, 2]]


def test_a_terminal_step_does_not_bootstrap() -> None:
    output = QLearning()(
        torch.zeros(1, 2),
        torch.tensor([0]),
        torch.tensor([2.0]),
        torch.tensor([0.0]),
        torch.full((1, 2), 1e6),
    )
    assert output.td_error.tolist() == [2.0]


def test_importance_weights_undo_the_sampling_at_exponent_one() -> None:
    probability = torch.tensor([0.1, 0.2, 0.4])
    weights = importance_weights(probability, torch.full((3,), 10.0), exponent=1.0)
    assert weights.tolist() == pytest.approx([1.0, 0.5, 0.25])


def test_importance_weights_are_one_at_exponent_zero() -> None:
    weights = importance_weights(torch.tensor([0.1, 0.9]), torch.full((2,), 10.0), exponent=0.0)
    assert weights.tolist() == [1.0, 1.0]
