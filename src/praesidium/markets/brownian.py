"""Geometric Brownian motion: constant volatility."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from praesidium.markets.draws import Sampling, draw
from praesidium.markets.market import Market


class GeometricBrownian(Market, kind="gbm"):
    """dS = volatility S dW, sampled exactly: log S gains -volatility^2 dt / 2 + volatility sqrt(dt) Z a period.

    Attributes:
        volatility: annual.
        sampling: how the paths are drawn, see :func:`~praesidium.markets.draws.draw`.
    """

    volatility: PositiveFloat = 0.2
    sampling: Sampling = "random"

    def sample(
        self, *, paths: int, steps: int, dt: float, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "times paths"], Float[Tensor, "times paths"]]:
        """Exact paths; the variance is one number seen from all times and paths."""
        spot = torch.empty(steps + 1, paths, dtype=dtype, device=generator.device)
        drift, deviation = -0.5 * self.volatility**2 * dt, self.volatility * math.sqrt(dt)
        spot[0] = 0.0
        if self.sampling == "random":
            spot[1:].normal_(drift, deviation, generator=generator)
        else:
            drawn = draw(self.sampling, paths=paths, steps=steps, drivers=1, generator=generator, dtype=dtype)
            torch.mul(drawn.normals[:, 0], deviation, out=spot[1:]).add_(drift)
        for before, now in pairwise(spot):  # faster than cumsum, which strides down columns
            torch.add(now, before, out=now)
        return spot.exp_(), spot.new_tensor(self.volatility**2).expand_as(spot)

    def expected_variance(
        self, variance: Float[Tensor, "*shape"], years: Float[Tensor, "*broadcast"] | float
    ) -> Float[Tensor, "*shape"]:
        """The variance now, over any time."""
        return variance
