"""The learner's step against differences of a loss that is computed record by record."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from impala_reference import SPEC, config, random_batch, slow_loss

from greenroom.agents.impala import IMPALABuilder


@pytest.mark.parametrize("lstm", [None, {"hiddenSize": 2}])
@pytest.mark.parametrize("bound", [None, 0.5])
def test_a_step_follows_the_gradient_of_the_loss(lstm: Any, bound: float | None) -> None:
    # With so large an epsilon Adam's first step is the gradient, but for 1 part in 1,000.
    hyperparameters = config(
        lstm=lstm,
        network={"mlp": {"hiddenSizes": [3], "activation": "tanh"}},
        discount=0.9,
        rhoClip=1.2,
        cClip=0.8,
        entropyCost=0.05,
        maxAbsReward=bound,
        learningRate=1e4,
        adamEpsilon=1e4,
        maxGradientNorm=None,
    )
    builder = IMPALABuilder(hyperparameters, SPEC)
    torch.manual_seed(1)
    network, copy, fixed = (builder.make_network() for _ in range(3))
    for other in (copy, fixed):
        other.load_state_dict(network.state_dict())
        other.double().requires_grad_(False)
    batch = random_batch(hyperparameters)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}

    builder.make_learner(network, torch.device("cpu")).step(batch)

    for name, parameter in copy.named_parameters():
        flat = parameter.view(-1)
        for index in range(0, len(flat), max(1, len(flat) // 6)):
            kept, losses = float(flat[index]), []
            for shift in (1e-5, -1e-5):
                flat[index] = kept + shift
                losses.append(slow_loss(copy, hyperparameters, batch, fixed))
            flat[index] = kept
            gradient = (losses[0] - losses[1]) / 2e-5
            after = network.get_parameter(name).detach().view(-1)[index]
            moved = float(before[name].view(-1)[index] - after)
            assert moved == pytest.approx(gradient, rel=5e-3, abs=1e-4), (name, index)
