"""Dense layers whose initial values come from a generator of their own."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

from praesidium.training.reproducibility import stream


class Dense(nn.Module):
    """y = x W + b, uniform on +-gain / sqrt(inputs) at the start."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator, *, gain: float = 1.0) -> None:
        super().__init__()
        bound = gain / max(inputs, 1) ** 0.5
        self.weight = nn.Parameter(torch.empty(inputs, outputs).uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound, generator=generator))

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """Affine map of the last axis."""
        return torch.addmm(self.bias, x.flatten(0, -2), self.weight).view(*x.shape[:-1], -1)


class Body(nn.Module):
    """A perceptron with SiLU units on standardized features and, if it has one, the inventory.

    The share of the first layer that does not depend on the inventory is computed for all times at once
    (:meth:`prepare`); only the rest runs day by day (:meth:`advance`).
    """

    def __init__(self, inputs: int, width: int, depth: int, *, seed: int, name: str, inventory: bool = True) -> None:
        super().__init__()
        generator = stream(seed, "init", name)
        self.first = Dense(inputs, width, generator)
        self.inventory = Dense(1, width, generator, gain=inputs**-0.5).weight if inventory else None
        self.rest = nn.ModuleList(Dense(width, width, generator) for _ in range(depth - 1))

    def prepare(self, features: Float[Tensor, "steps paths inputs"]) -> Float[Tensor, "steps paths width"]:
        """First layer before its activation, without the inventory."""
        return self.first(features)

    def advance(
        self, prepared: Float[Tensor, "*batch width"], inventory: Float[Tensor, " paths"] | None = None
    ) -> Float[Tensor, "*batch width"]:
        """Features of one day, or of all days for a body without inventory."""
        if self.inventory is not None and inventory is not None:
            prepared = torch.addcmul(prepared, inventory.unsqueeze(-1), self.inventory)
        hidden = silu(prepared)
        for layer in self.rest:
            hidden = silu(layer(hidden))
        return hidden
