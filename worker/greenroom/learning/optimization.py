"""Adam with gradient clipping, and parameters in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from greenroom.core import State
from greenroom.errors import CheckpointMismatch


class Adam:
    """Adam (Kingma & Ba 2015) as one fused kernel, on CPU and GPU alike.

        gradients = torch.autograd.grad(loss, optimizer.parameters)
        norm = optimizer.step(gradients)

    It is torch's own functional Adam. ``torch.optim.Adam`` around it imports torch's
    compiler when it is made, which takes seconds at the start of every process and
    160 MB for good. Clipping is part of the kernel: it divides by a scale anyway.

    Args:
        parameters: what to update, in place.
        learning_rate: the step size.
        betas: decay of the two moments.
        epsilon: added to the root of the second moment.
        max_gradient_norm: gradients are scaled down to this global norm; None is no
            clipping.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        learning_rate: float,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        max_gradient_norm: float | None = None,
    ) -> None:
        self.parameters = list(parameters)
        self._learning_rate = learning_rate
        self._betas = betas
        self._epsilon = epsilon
        self._max_norm = max_gradient_norm
        self._means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self._steps = [torch.zeros((), device=parameter.device) for parameter in self.parameters]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> Tensor:
        """Update the parameters; return the gradients' global norm before clipping, a scalar.

        The gradients are scaled in place.
        """
        norm: Tensor = torch.linalg.vector_norm(
            torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients])
        )
        scale = None if self._max_norm is None else (norm / self._max_norm).clamp_(min=1.0)
        adam(
            self.parameters,  # type: ignore[arg-type]  # parameters are tensors; list is invariant
            list(gradients),
            self._means,
            self._squares,
            [],
            self._steps,
            fused=True,
            grad_scale=scale,
            amsgrad=False,
            beta1=self._betas[0],
            beta2=self._betas[1],
            lr=self._learning_rate,
            weight_decay=0.0,
            eps=self._epsilon,
            maximize=False,
        )
        return norm

    def state(self) -> State:
        """Return moments and step counts by the parameters' positions, for a checkpoint."""
        return {
            "means": _by_position(self._means),
            "squares": _by_position(self._squares),
            "steps": _by_position(self._steps),
        }

    @torch.no_grad()
    def restore(self, state: State) -> None:
        """Take up what `state` returned.

        Raises:
            CheckpointMismatch: the state is of other parameters.
        """
        for name, own in (
            ("means", self._means),
            ("squares", self._squares),
            ("steps", self._steps),
        ):
            saved = state[name]
            if {key: value.shape for key, value in saved.items()} != {
                key: value.shape for key, value in _by_position(own).items()
            }:
                raise CheckpointMismatch(
                    "The checkpoint's optimizer must be of this experiment's network. Got: "
                    f"{name} of other shapes."
                )
            for position, tensor in enumerate(own):
                tensor.copy_(saved[str(position)])


def _by_position(tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    return {str(position): tensor for position, tensor in enumerate(tensors)}


def load_module(module: nn.Module, values: Mapping[str, Tensor], what: str) -> None:
    """Load a module's state from a checkpoint.

    Raises:
        CheckpointMismatch: names or shapes are another network's.
    """
    try:
        module.load_state_dict(values)
    except RuntimeError as error:
        raise CheckpointMismatch(
            f"The checkpoint's {what} must be this experiment's. Got: {error}"
        ) from error
