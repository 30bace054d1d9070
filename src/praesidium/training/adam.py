"""AdamW for many replicas at once, each with a rate of its own."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

BETAS, EPSILON = (0.9, 0.999), 1e-8


class Adam:
    """Moments of the gradients of each replica, and the step that follows from them.

    The same numbers as ``torch.optim.AdamW`` on each row, which takes one rate for all.

    Attributes:
        mean, square: moving averages of the gradient and of its square, a row a replica.
        steps: taken so far by each replica.

    Source: Kingma and Ba 2015, algorithm 1; decoupled decay: Loshchilov and Hutter 2019, algorithm 2.
    """

    def __init__(self, values: Float[Tensor, "replicas parameters"]) -> None:
        self.mean, self.square = torch.zeros_like(values), torch.zeros_like(values)
        self.steps = torch.zeros(len(values), 1, dtype=torch.float64, device=values.device)

    @torch.no_grad()
    def step(
        self,
        values: Float[Tensor, "replicas parameters"],
        gradient: Float[Tensor, "replicas parameters"],
        rate: Float[Tensor, "replicas 1"],
        decay: Float[Tensor, "replicas 1"],
    ) -> None:
        """Move the values in place."""
        first, second = BETAS
        self.steps += 1
        self.mean.lerp_(gradient, 1 - first)
        self.square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        warm, wide = ((1 - one**self.steps).to(values.dtype) for one in BETAS)
        spread = (self.square / wide).sqrt_().add_(EPSILON)
        values.mul_(1 - rate * decay).sub_(self.mean / spread * (rate / warm))
