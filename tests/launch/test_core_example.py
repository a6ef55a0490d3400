"""The loop that core.py's docstring shows is a loop that trains."""

from __future__ import annotations

import textwrap
from itertools import count

import torch
from small import experiment

from greenroom import core
from greenroom.acting.actor import Actor
from greenroom.agents.dqn import DQNBuilder
from greenroom.environments import make_environment
from greenroom.randomness import numpy_generator, torch_generator
from greenroom.replay.embedded import EmbeddedReplay
from greenroom.variables import LocalVariables


def test_the_loop_in_the_docstring_trains() -> None:
    assert core.__doc__ is not None
    begin = core.__doc__.index("    environment = make_environment(")
    end = core.__doc__.index("Shapes: N environments")
    names = {
        "Actor": Actor,
        "DQNBuilder": DQNBuilder,
        "EmbeddedReplay": EmbeddedReplay,
        "LocalVariables": LocalVariables,
        "count": count,
        "device": torch.device("cpu"),
        "make_environment": make_environment,
        "numpy_generator": numpy_generator,
        "spec": experiment(stop={"environmentSteps": 400}).spec,
        "torch_generator": torch_generator,
    }
    exec(textwrap.dedent(core.__doc__[begin:end]), names)
    (info,) = names["replay"].info().values()  # type: ignore[attr-defined]
    assert info.inserts >= 400
    assert info.samples > 0
    names["environment"].close()  # type: ignore[attr-defined]
