"""Dense layers whose initial values come from a generator of their own, for one network or many of its kind at once."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from praesidium.policies.activations import ACTIVATIONS, Activation
from praesidium.training.reproducibility import stream

PARTS = 6  # most parts in which rows are summed up


class Dense(nn.Module):
    """y = x W + b, uniform on +-gain / sqrt(inputs) at the start.

    The parameters of many replicas, stacked first in W and b, map each replica's rows by its own; ``x`` then has its
    replicas before its paths.

    Attributes:
        hidden: whether ``x`` are hidden units, which dropout may leave out.
    """

    def __init__(
        self, inputs: int, outputs: int, generator: torch.Generator, *, gain: float = 1.0, hidden: bool = False
    ) -> None:
        super().__init__()
        self.hidden = hidden
        bound = gain / max(inputs, 1) ** 0.5
        self.weight = nn.Parameter(torch.empty(inputs, outputs).uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound, generator=generator))

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """Affine map of the last axis."""
        weight, bias = self.weight, self.bias
        if weight.ndim == 2 and (x.ndim < 3 or not torch.is_grad_enabled()):
            return torch.addmm(bias, x.flatten(0, -2), weight).view(*x.shape[:-1], -1)
        if weight.ndim == 2:  # in parts, for a sum over all rows at once would lose a digit of the gradient
            parts = next(count for count in range(PARTS, 0, -1) if len(x) % count == 0)
            rows = x.reshape(parts, -1, x.shape[-1])
            return torch.baddbmm(bias, rows, weight.expand(parts, -1, -1)).view(*x.shape[:-1], -1)
        rows = x.movedim(-3, 0)
        flat = rows.reshape(len(rows), -1, x.shape[-1])
        if weight.shape[-1] == 1:  # a batch of matrices with one column is slow
            y = (flat * weight.mT).sum(-1, keepdim=True) + bias.unsqueeze(1)
        else:
            y = torch.baddbmm(bias.unsqueeze(1), flat, weight)
        return y.view(*rows.shape[:-1], -1).movedim(0, -3)


class Body(nn.Module):
    """A perceptron on standardized features and the inventory in as many instruments as it is told, or none.

    The share of the first layer that does not depend on the inventory is computed for all times at once
    (:meth:`prepare`); only the rest runs day by day (:meth:`advance`).
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        depth: int,
        *,
        seed: int,
        name: str,
        inventory: int = 1,
        activation: Activation = "silu",
    ) -> None:
        super().__init__()
        generator = stream(seed, "init", name)
        self.activation = ACTIVATIONS[activation]
        self.first = Dense(inputs, width, generator)
        gain = max(inputs, 1) ** -0.5 * inventory**0.5
        self.inventory = Dense(inventory, width, generator, gain=gain).weight if inventory else None
        self.several = inventory > 1
        self.rest = nn.ModuleList(Dense(width, width, generator, hidden=True) for _ in range(depth - 1))

    def prepare(self, features: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch width"]:
        """First layer before its activation, without the inventory."""
        return self.first(features)

    def advance(
        self, prepared: Float[Tensor, "*batch width"], inventory: Tensor | None = None
    ) -> Float[Tensor, "*batch width"]:
        """Features of one day, or of all days whose inventory is known; with an axis for several instruments."""
        if self.inventory is None or inventory is None:
            hidden = self.activation(prepared.clone())
        elif self.several:
            hidden = self.activation(prepared + inventory @ self.inventory)
        else:
            hidden = self.activation(torch.addcmul(prepared, inventory.unsqueeze(-1), self.inventory))
        for layer in self.rest:
            hidden = self.activation(layer(hidden))
        return hidden
