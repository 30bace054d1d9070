"""Layers that the networks of a regime model are made of; initial values come from a generator."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from praesidium.component import InputError

CLIP = 5.0  # standardized values beyond are as good as this one


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


class Standardizer(nn.Module):
    """(x - mean) / deviation by statistics of the training data, cut at +-5; a missing value becomes the mean, 0.

    Attributes:
        mean, deviation: of each channel; 0 and 1 before :meth:`fit`, deviation 1 where a channel does not vary.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, dtype=torch.float64))
        self.register_buffer("deviation", torch.ones(channels, dtype=torch.float64))

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "batch channels time"], mask: Bool[Tensor, "batch time"]) -> None:
        """Take the statistics of what is neither missing nor padding.

        Raises:
            InputError: if a channel was never observed, or holds an infinite value.
        """
        rows = x.double().transpose(1, 2)[mask]
        observed = ~rows.isnan()
        if not bool(observed.any(0).all()) or bool(rows.isinf().any()):
            raise InputError(
                f"fit: channel {_first_bad(rows)} holds nothing but NaN, or an infinite value; leave it out"
            )
        self.mean.copy_(rows.nanmean(0))
        deviation = (rows - self.mean).square().nanmean(0).sqrt()
        self.deviation.copy_(torch.where(deviation > 1e-12 * (1 + self.mean.abs()), deviation, 1.0))

    def forward(self, x: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch channels time"]:
        """Standardized values, in double precision."""
        standardized = (x.double() - self.mean.unsqueeze(-1)) / self.deviation.unsqueeze(-1)
        return standardized.nan_to_num(nan=0.0).clamp(-CLIP, CLIP)


def _first_bad(rows: Tensor) -> int:
    bad = rows.isnan().all(0) | rows.isinf().any(0)
    return int(bad.int().argmax())
