"""SABR: a constant-elasticity spot whose volatility is lognormal."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator
from torch import Tensor

from praesidium.markets.draws import Sampling, draw
from praesidium.markets.market import Market


class SABR(Market, kind="sabr"):
    """dS = a S^beta dW,  da = nu a dB,  dW dB = rho dt,  a_0 = alpha,  with S absorbed at zero for beta < 1.

    The instantaneous variance is a^2 S^{2 beta - 2}, and zero once the spot is. ``nu = 0`` is the model of constant
    elasticity of variance.

    Attributes:
        alpha: first volatility at spot 1, annual.
        beta: elasticity; 1 is lognormal, 0 is normal.
        nu: volatility of the volatility, a root year.
        rho: correlation of spot and volatility; not positive for ``beta = 1``, where the spot would lose its mean.
        sampling: how the paths are drawn, see :func:`~praesidium.markets.draws.draw`.

    Source: Hagan, Kumar, Lesniewski and Woodward 2002, "Managing smile risk"; the martingale: Jourdain 2004.
    """

    alpha: PositiveFloat = 0.2
    beta: Annotated[float, Field(ge=0, le=1)] = 0.7
    nu: NonNegativeFloat = 0.5
    rho: Annotated[float, Field(ge=-1, le=1)] = -0.5
    sampling: Sampling = "random"

    @model_validator(mode="after")
    def _martingale(self) -> SABR:
        if self.beta == 1 and self.rho > 0 and self.nu > 0:
            raise ValueError(
                f"rho: {self.rho:g} is above 0, where at beta=1 the spot is no martingale; take rho=0 or a lower beta"
            )
        return self

    def sample(
        self, *, paths: int, steps: int, dt: float, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "times paths"], Float[Tensor, "times paths"]]:
        """Exact volatility; S' = S e^{s Z - s^2 / 2} with s = a S^{beta - 1} and the mean growth of a^2 in the period.

        A martingale at any step and never negative: near zero s grows without bound, so that S falls below the
        smallest number within a few periods, which absorbs it. Prices have weak order one: with daily steps and
        ``alpha = 0.4``, ``nu = 0.8`` calls of a year come out 0.0005 too dear, less than 100,000 paths can tell.
        """
        own, z = draw(self.sampling, paths=paths, steps=steps, drivers=2, generator=generator, dtype=dtype)[1].unbind(1)
        z.mul_(math.sqrt(1 - self.rho**2)).add_(own, alpha=self.rho)

        volatility = torch.empty(steps + 1, paths, dtype=dtype, device=generator.device)
        volatility[0] = math.log(self.alpha)
        torch.mul(own, self.nu * math.sqrt(dt), out=volatility[1:]).sub_(0.5 * self.nu**2 * dt)
        for before, now in pairwise(volatility):
            now.add_(before)
        volatility.exp_()

        root_time = math.sqrt(dt * _mean_growth(torch.tensor(self.nu**2 * dt, dtype=torch.float64)).item())
        spot = torch.ones_like(volatility)
        work = torch.empty_like(spot[0])
        for (before, after), local, noise in zip(pairwise(spot), volatility, z, strict=False):
            if self.beta < 1:
                local.mul_(torch.pow(before, self.beta - 1, out=work))
            torch.mul(local, root_time, out=work)
            torch.add(noise, work, alpha=-0.5, out=after).mul_(work).exp_().mul_(before)
        volatility[-1].mul_(spot[-1].pow(self.beta - 1))
        return spot, volatility.square_().masked_fill_(spot == 0, 0.0)

    def expected_variance(
        self, variance: Float[Tensor, "*shape"], years: Float[Tensor, "*broadcast"] | float
    ) -> Float[Tensor, "*shape"]:
        """v (e^{g T} - 1) / (g T), with g = nu^2 - 4 c rho nu sqrt(v) + c (1 + 2 c) v the growth of v, c = 1 - beta.

        Exact for beta = 1. Otherwise g is frozen as it is now: exact to first order in T. The share of g T that comes
        with c is taken as 1 at most, so that marks stay finite as the spot nears zero.
        """
        years, c = torch.as_tensor(years, dtype=variance.dtype, device=variance.device), 1 - self.beta
        spot_share = c * (1 + 2 * c) * variance - 4 * c * self.rho * self.nu * variance.sqrt()
        return variance * _mean_growth(self.nu**2 * years + (spot_share * years).clamp(max=1))


def _mean_growth(exponent: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Mean of e^{x u} over u in (0, 1): (e^x - 1) / x, which is 1 at zero."""
    safe = torch.where(exponent == 0, 1, exponent)
    return torch.where(exponent == 0, 1, torch.expm1(safe) / safe)
