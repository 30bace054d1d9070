"""Double-exponential jumps on top of any market."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from praesidium.markets.brownian import GeometricBrownian
from praesidium.markets.market import Marked, Market


class Kou(Market, kind="kou"):
    """The base's spot times prod_i e^{J_i} e^{-c t}: compound Poisson jumps, J double exponential, apart from the base.

    J is exponential of rate ``eta_up`` with probability p, and minus one of rate ``eta_down`` otherwise. The
    compensator c = intensity (p eta_up / (eta_up - 1) + (1 - p) eta_down / (eta_down + 1) - 1) keeps the spot a
    martingale.

    Attributes:
        base: the market between the jumps; its draws come first, so that it is the same market with and without them.
        intensity: jumps a year.
        up_probability: p.
        eta_up: one over the mean upward log jump; above 1, or the spot has no mean, and above 2, or it has no variance.
        eta_down: one over the mean downward log jump.

    Source: Kou 2002, "A jump-diffusion model for option pricing", with the parameters of its section 3.
    """

    base: Market = GeometricBrownian()
    intensity: NonNegativeFloat = 10.0
    up_probability: Annotated[float, Field(ge=0, le=1)] = 0.3
    eta_up: Annotated[float, Field(gt=1)] = 50.0
    eta_down: PositiveFloat = 25.0

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
        where = torch.randint(cells, (total,), device=device, generator=generator)
        up = torch.rand(total, device=device, generator=generator) < self.up_probability
        size = torch.rand(total, dtype=dtype, device=device, generator=generator).neg_().log1p_()
        size.mul_(torch.where(up, -1 / self.eta_up, 1 / self.eta_down))

        logs = spot.new_full((steps, paths), -self._compensator * dt)
        logs.view(-1).index_add_(0, where, size)
        for before, now in pairwise(logs):
            now.add_(before)
        spot[1:].mul_(logs.exp_())
        return spot

    def expected_variance(
        self, variance: Float[Tensor, "*shape"], years: Float[Tensor, "*broadcast"] | float
    ) -> Float[Tensor, "*shape"]:
        """The base's, plus intensity E[J^2], where E[J^2] = 2 p / eta_up^2 + 2 (1 - p) / eta_down^2."""
        return self.base.expected_variance(variance, years) + self._variance

    @property
    def _variance(self) -> float:
        p = self.up_probability
        return 2 * self.intensity * (p / self.eta_up**2 + (1 - p) / self.eta_down**2)

    @property
    def _compensator(self) -> float:
        p = self.up_probability
        return self.intensity * (p / (self.eta_up - 1) - (1 - p) / (self.eta_down + 1))
