"""Jumps on top of any market."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Tensor

from praesidium.markets.brownian import GeometricBrownian
from praesidium.markets.market import Marked, Market


class Merton(Market, kind="merton"):
    """The base's spot times prod_i e^{J_i} e^{-c t}: compound Poisson jumps, J normal, independent of the base.

    The compensator c = intensity (E[e^J] - 1) keeps the spot a martingale. On ``gbm`` this is Merton's model, on
    ``heston`` that of Bates.

    Attributes:
        base: the market between the jumps; its draws come first, so that it is the same market with and without them.
        intensity: jumps a year.
        jump_mean: mean of the log jump J.
        jump_sd: standard deviation of J.

    Source: Merton 1976; Bates 1996.
    """

    base: Market = GeometricBrownian()
    intensity: NonNegativeFloat = 1.0
    jump_mean: float = -0.05
    jump_sd: NonNegativeFloat = 0.04

    def sample(
        self, *, paths: int, steps: int, dt: float, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "times paths"], Float[Tensor, "times paths"]]:
        spot, variance = self.base.sample(paths=paths, steps=steps, dt=dt, generator=generator, dtype=dtype)
        return self._jumped(spot, dt, generator), variance

    def sample_marked(
        self,
        *,
        paths: int,
        steps: int,
        left: Float[Tensor, "curves rebalances"],
        dt: float,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> Marked:
        """The base's, with jumps in the spot and in what is expected."""
        marked = self.base.sample_marked(paths=paths, steps=steps, left=left, dt=dt, generator=generator, dtype=dtype)
        spot = self._jumped(marked.spot, dt, generator)
        return marked._replace(spot=spot, expected=marked.expected + self._variance)

    def _jumped(
        self, spot: Float[Tensor, "times paths"], dt: float, generator: torch.Generator
    ) -> Float[Tensor, "times paths"]:
        """Jumps of all paths as one Poisson process over (period, path) cells: exact, at a cost by jump, not by cell.

        Given their total number, jumps fall on the cells independently and uniformly. In place.
        """
        dtype, steps, paths = spot.dtype, spot.shape[0] - 1, spot.shape[1]
        device, cells = spot.device, steps * paths
        expected = torch.tensor(self.intensity * dt * cells, dtype=torch.float64, device=device)
        total = int(torch.poisson(expected, generator=generator))
        where, count = torch.randint(cells, (total,), device=device, generator=generator).unique(return_counts=True)
        count = count.to(dtype)
        noise = torch.randn(len(count), dtype=dtype, device=device, generator=generator)
        jumps = spot.new_zeros(steps, paths)
        jumps.view(-1)[where] = count * self.jump_mean + count.sqrt() * self.jump_sd * noise

        compensator = self.intensity * math.expm1(self.jump_mean + 0.5 * self.jump_sd**2)
        years = dt * torch.arange(1, steps + 1, dtype=dtype, device=device).unsqueeze(-1)
        spot[1:] *= jumps.cumsum(0).sub_(compensator * years).exp_()
        return spot

    def expected_variance(
        self, variance: Float[Tensor, "*shape"], years: Float[Tensor, "*broadcast"] | float
    ) -> Float[Tensor, "*shape"]:
        """The base's, plus intensity (jump_mean^2 + jump_sd^2)."""
        return self.base.expected_variance(variance, years) + self._variance

    @property
    def _variance(self) -> float:
        return self.intensity * (self.jump_mean**2 + self.jump_sd**2)
