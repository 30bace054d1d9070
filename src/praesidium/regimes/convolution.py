"""Convolution over the past, of which the networks of a regime model are made."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class CausalConv(nn.Module):
    """Convolution over the present and the past alone: y_t = b + sum_j W_j x_{t - j dilation}, zero before the start.

    A kernel of one is an affine map of each time by itself. Values start uniform on +-1 / sqrt(inputs x kernel).
    """

    def __init__(
        self, inputs: int, outputs: int, generator: torch.Generator, *, kernel: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        self.past, self.dilation = (kernel - 1) * dilation, dilation
        bound = (inputs * kernel) ** -0.5
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel).uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound, generator=generator))

    def forward(self, x: Float[Tensor, "batch inputs time"]) -> Float[Tensor, "batch outputs time"]:
        """Output at t knows inputs up to t."""
        before = functional.pad(x.to(self.weight.dtype), (self.past, 0))
        return functional.conv1d(before, self.weight, self.bias, dilation=self.dilation)
