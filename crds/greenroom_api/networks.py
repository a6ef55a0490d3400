"""Networks, as agents' hyperparameters describe them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from greenroom_api.base import ApiModel, OneOf
from greenroom_api.values import ImportPath, Integer


class MLP(ApiModel):
    """A multilayer perceptron on the flattened observation."""

    hidden_sizes: tuple[Annotated[Integer, Field(ge=1, le=65_536)], ...] = Field(
        default=(256, 256),
        min_length=1,
        max_length=32,
        description="Units of each hidden layer, from the observation to the output.",
    )
    activation: Literal["relu", "tanh", "elu"] = Field(
        default="relu", description="Nonlinearity after each hidden layer: relu, tanh or elu."
    )


class Network(OneOf):
    """The network between observation and output layer."""

    members: ClassVar[tuple[str, ...]] = ("mlp", "factory")

    mlp: MLP | None = Field(
        default=None, description="A multilayer perceptron on the flattened observation."
    )
    factory: ImportPath | None = Field(
        default=None,
        description="A callable of one's own, written module:callable. It is called with the "
        "environment's spec and returns a torch module from observations [B, ...] to features "
        "[B, F].",
    )


class LSTM(ApiModel):
    """A long short-term memory (Hochreiter & Schmidhuber 1997), reset where an episode begins."""

    hidden_size: Integer = Field(default=128, ge=1, le=65_536, description="Units of the memory.")
