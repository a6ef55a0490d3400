from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from greenroom.errors import CheckpointMismatch
from greenroom.learning.optimization import Adam


def problem(seed: int = 0) -> tuple[nn.Module, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1)), torch.randn(16, 3)


def loss_of(network: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    return (network(inputs) - 3.0).square().mean()


@pytest.mark.parametrize("max_norm", [None, 0.5, 1e6])
def test_it_steps_as_torchs_own_adam_with_clipping(max_norm: float | None) -> None:
    ours, inputs = problem()
    theirs, _ = problem()
    optimizer = Adam(list(ours.parameters()), 0.01, epsilon=1e-5, max_gradient_norm=max_norm)
    reference = torch.optim.Adam(theirs.parameters(), lr=0.01, eps=1e-5)
    for _ in range(20):
        norm = optimizer.step(torch.autograd.grad(loss_of(ours, inputs), optimizer.parameters))
        reference.zero_grad()
        loss_of(theirs, inputs).backward()
        expected = nn.utils.clip_grad_norm_(theirs.parameters(), max_norm or float("inf"))
        reference.step()
        torch.testing.assert_close(norm, expected)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other)


def test_a_restored_optimizer_goes_on_bit_for_bit() -> None:
    network, inputs = problem()
    optimizer = Adam(list(network.parameters()), 0.01)
    for _ in range(3):
        optimizer.step(torch.autograd.grad(loss_of(network, inputs), optimizer.parameters))
    again, _ = problem()
    again.load_state_dict(network.state_dict())
    restored = Adam(list(again.parameters()), 0.01)
    restored.restore(optimizer.state())
    for one, its in ((network, optimizer), (again, restored)):
        its.step(torch.autograd.grad(loss_of(one, inputs), its.parameters))
    for mine, other in zip(network.parameters(), again.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_another_networks_state_is_refused() -> None:
    network, _ = problem()
    optimizer = Adam(list(network.parameters()), 0.01)
    other = Adam(list(nn.Linear(2, 2).parameters()), 0.01)
    with pytest.raises(CheckpointMismatch, match="optimizer"):
        optimizer.restore(other.state())


def test_it_does_not_import_the_compiler() -> None:
    """What makes a process start in seconds less; see the class."""
    program = """
import sys, torch
from greenroom.learning.optimization import Adam
layer = torch.nn.Linear(2, 2)
optimizer = Adam(list(layer.parameters()), 0.1, max_gradient_norm=1.0)
optimizer.step(torch.autograd.grad(layer(torch.ones(1, 2)).sum(), optimizer.parameters))
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=120).returncode == 0
