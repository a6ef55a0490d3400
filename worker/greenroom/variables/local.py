"""Variables within one process."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from greenroom.core import Variables


class LocalVariables:
    """The variables that a learner published last; actors in other threads may ask.

    What is published is a copy on the CPU, so that nobody sees half a step.
    """

    def __init__(self) -> None:
        self._newest: Variables | None = None

    def publish(self, version: int, values: Mapping[str, Tensor]) -> None:
        """Make a copy of ``values`` the newest, as ``version`` (learner steps)."""
        copies = {name: value.detach().to("cpu", copy=True) for name, value in values.items()}
        self._newest = Variables(version, copies)  # one assignment: atomic for readers

    def get(self, newer_than: int) -> Variables | None:
        """Return the newest variables, or None if they are not newer than that version."""
        newest = self._newest
        return newest if newest is not None and newest.version > newer_than else None


def load_into(module: nn.Module, variables: Mapping[str, Tensor]) -> None:
    """Copy variables into a module's parameters and buffers of the same names.

    Raises:
        ValueError: the names or shapes are not the module's.
    """
    own = module.state_dict(keep_vars=True)
    if own.keys() != variables.keys():
        differing = sorted(own.keys() ^ variables.keys())
        raise ValueError(f"Variables must have the network's names. Got differences: {differing}.")
    with torch.no_grad():
        for name, tensor in own.items():
            if tensor.shape != variables[name].shape:
                raise ValueError(
                    f"Variable {name!r} must have shape {tuple(tensor.shape)}. "
                    f"Got: {tuple(variables[name].shape)}."
                )
            tensor.copy_(variables[name])
