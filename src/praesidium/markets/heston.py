"""Heston: the variance is a square-root process, correlated with the spot."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat, field_validator
from torch import Tensor

from praesidium.markets.draws import Draws, Sampling, draw
from praesidium.markets.market import Market

PSI_C = 1.5  # relative variance of the next v, beyond which its law is taken as exponential with an atom at zero
BLOCK = 32000  # numbers in one operation; torch splits it over threads from 32768 on


class Heston(Market, kind="heston"):
    """dS = S sqrt(v) dW,  dv = kappa (theta - v) dt + xi sqrt(v) dB,  dW dB = rho dt.

    Sampled by the martingale-corrected quadratic-exponential scheme (QE-M), which also holds where the variance
    reaches zero (2 kappa theta < xi^2, Feller violated).

    Attributes:
        theta: long-run variance, a year.
        kappa: speed of mean reversion, a year.
        xi: volatility of the variance; below the bound single precision loses its correlation with the spot.
        rho: correlation of spot and variance.
        v0: interval from which each path draws its first variance, uniformly; equal bounds fix it.
        sampling: how the paths are drawn, see :func:`~praesidium.markets.draws.draw`.

    Source: Andersen 2008, "Simple and efficient simulation of the Heston stochastic volatility model", with
    gamma_1 = gamma_2 = 1/2 and psi_c = 3/2.
    """

    theta: PositiveFloat = 0.04
    kappa: PositiveFloat = 2.0
    xi: Annotated[float, Field(ge=1e-3)] = 0.3
    rho: Annotated[float, Field(ge=-1, le=1)] = -0.7
    v0: tuple[PositiveFloat, PositiveFloat] = (0.04, 0.04)
    sampling: Sampling = "random"

    @field_validator("v0")
    @classmethod
    def _ordered(cls, v0: tuple[float, float]) -> tuple[float, float]:
        if v0[0] > v0[1]:
            raise ValueError(f"the low bound {v0[0]} is above the high bound {v0[1]}; write [low, high]")
        return v0

    def sample(
        self, *, paths: int, steps: int, dt: float, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "times paths"], Float[Tensor, "times paths"]]:
        """QE-M paths: one uniform a path, then two normals a path and period, whatever the branch.

        On a CPU the paths are made in blocks that stay in the cache and that torch never splits over threads, so
        that the result does not depend on the number of threads.
        """
        spot = torch.empty(steps + 1, paths, dtype=dtype, device=generator.device)
        variance = torch.empty_like(spot)
        blocks = math.ceil(paths / BLOCK) if spot.device.type == "cpu" else 1
        drawn: list[Draws | None] = [None] * blocks
        if self.sampling != "random":
            whole = draw(self.sampling, paths=paths, steps=steps, drivers=2, generator=generator, dtype=dtype)
            parts = (one.tensor_split(blocks, -1) for one in whole)
            drawn = [Draws(*part) for part in zip(*parts, strict=True)]
        for block in zip(spot.tensor_split(blocks, 1), variance.tensor_split(blocks, 1), drawn, strict=True):
            self._fill(*block, dt, generator)
        return spot, variance

    def expected_variance(
        self, variance: Float[Tensor, "*shape"], years: Float[Tensor, "*broadcast"] | float
    ) -> Float[Tensor, "*shape"]:
        """theta + (v - theta) (1 - e^{-kappa T}) / (kappa T), which is v at T = 0."""
        decay = self.kappa * torch.as_tensor(years, dtype=variance.dtype, device=variance.device)
        weight = torch.where(decay > 0, -torch.expm1(-decay) / torch.where(decay > 0, decay, 1), 1.0)
        return torch.lerp(variance.new_tensor(self.theta), variance, weight)

    def _fill(
        self,
        spot: Float[Tensor, "times block"],
        variance: Float[Tensor, "times block"],
        drawn: Draws | None,
        dt: float,
        generator: torch.Generator,
    ) -> None:
        """The variance goes day by day; the spot follows it for as many days at once as BLOCK allows.

        With few paths a call of torch costs as much as its arithmetic. Hence the days at once, results that go to
        buffers or in place, and tensors for the constants that torch would else wrap into one at each call.
        """
        kappa, theta, xi = self.kappa, self.theta, self.xi
        kept, lost = math.exp(-kappa * dt), -math.expm1(-kappa * dt)
        # Conditional mean and half the conditional variance of the next v, both linear in v.
        mean_0, mean_1 = spot.new_tensor(theta * lost), kept
        half_0, half_1 = spot.new_tensor(theta * xi**2 * lost**2 / (4 * kappa)), xi**2 * kept * lost / (2 * kappa)
        one, half, least = (spot.new_tensor(number) for number in (1.0, 0.5, 2 / PSI_C))

        paths = spot.shape[1]
        days = max(min(BLOCK // paths, len(spot) - 1), 1)
        normals = spot.new_empty(days, 2, paths)
        means, scales = spot.new_empty(2, days, paths)
        ratio, work = spot.new_empty(2, paths)
        spots, variances = spot.unbind(), variance.unbind()
        rows = list(zip(normals, normals[:, 0], means, scales, strict=True))

        low, high = self.v0
        first = variances[0].copy_(drawn.uniform) if drawn else variances[0].uniform_(generator=generator)
        v = first.mul_(high - low).add_(low)
        spots[0].zero_()  # the logarithm, as in all of a chunk of days until its end
        for start in range(1, len(spot), days):
            stop = min(start + days, len(spot))
            exponential = []
            for t, (pair, z, mean, scale) in zip(range(start, stop), rows, strict=False):
                if drawn:
                    pair.copy_(drawn.normals[t - 1])
                else:
                    pair.normal_(generator=generator)
                torch.add(mean_0, v, alpha=mean_1, out=mean)
                torch.add(half_0, v, alpha=half_1, out=work)
                torch.square(mean, out=ratio).div_(work)  # 2 / psi
                v = variances[t]
                if ratio.amin().item() >= 2 / PSI_C:
                    _quadratic(mean, ratio, z, one, work, scale, v)
                    continue
                few = (ratio < least).nonzero().view(-1)
                mean_few, ratio_few, z_few = (x.index_select(0, few) for x in (mean, ratio, z))
                _quadratic(mean, ratio.clamp_(min=2 / PSI_C), z, one, work, scale, v)
                q, after_few = _exponential(mean_few, ratio_few, z_few, half)
                v.scatter_(0, few, after_few)
                exponential.append((few + (t - start) * paths, mean_few, q))
            n = stop - start
            before, after = variance[start - 1 : stop - 1], variance[start:stop]
            twice = self._twice_log_returns(before, after, means[:n], scales[:n], normals[:n], exponential, dt)
            for t, row in zip(range(start, stop), twice.unbind(), strict=True):
                torch.add(spots[t - 1], row, alpha=0.5, out=spots[t])
            spot[start - 1 : stop - 1].exp_()
        spots[-1].exp_()

    def _twice_log_returns(
        self,
        before: Float[Tensor, "days block"],
        after: Float[Tensor, "days block"],
        mean: Float[Tensor, "days block"],
        scale: Float[Tensor, "days block"],
        normals: Float[Tensor, "days 2 block"],
        exponential: list[tuple[Tensor, Tensor, Tensor]],
        dt: float,
    ) -> Float[Tensor, "days block"]:
        """Twice shift(v) - K3 v / 2 + K2 v' + sqrt(K3 (v + v')) Z, where shift makes the spot a martingale.

        ``exponential`` has index, mean and q of that branch, day by day. The draws of v', mean and scale are
        overwritten, to stay in the cache.
        """
        kappa, theta, xi, rho = self.kappa, self.theta, self.xi, self.rho
        K0 = -rho * kappa * theta * dt / xi
        K1 = 0.5 * dt * (kappa * rho / xi - 0.5) - rho / xi
        K2 = 0.5 * dt * (kappa * rho / xi - 0.5) + rho / xi
        K3 = 0.5 * dt * (1 - rho**2)
        A = K2 + 0.5 * K3

        work, z = normals.unbind(1)
        rest, twice = mean.sub_(scale), scale.mul_(-2 * A)
        rest.div_(torch.add(twice, 1, out=work))
        twice.log1p_().sub_(rest, alpha=2 * A)  # -2 log E[e^{A v'}], not finite where that mean does not exist
        if exponential:
            few, mean_few, q = (torch.cat(parts) for parts in zip(*exponential, strict=True))
            tilt = A * mean_few
            twice.view(-1).scatter_(0, few, -2 * torch.log1p(q * tilt / (q - tilt).clamp_(min=0)))
        if A > 0 and not math.isfinite(twice.amin()):
            # E[e^{A v'}] is infinite for large v; the scheme goes without the correction there.
            twice = torch.where(twice.isfinite(), twice, (before * (2 * K1 + K3)).add_(2 * K0))
        twice.add_(after, alpha=2 * K2).sub_(before, alpha=K3)
        total = torch.add(before, after, out=work)
        if exponential:
            total.clamp_(min=torch.finfo(total.dtype).tiny)  # the root of zero takes four times as long
        return twice.addcmul_(total.sqrt_(), z, value=2 * math.sqrt(K3))


def _quadratic(
    mean: Float[Tensor, " paths"],
    ratio: Float[Tensor, " paths"],
    z: Float[Tensor, " paths"],
    one: Float[Tensor, ""],
    work: Float[Tensor, " paths"],
    scale: Float[Tensor, " paths"],
    after: Float[Tensor, " paths"],
) -> None:
    """v' = scale (b + z)^2, with scale = mean / (1 + b^2)."""
    torch.sub(ratio, one, out=work).mul_(ratio).sqrt_().add_(ratio)  # 1 + b^2
    torch.div(mean, work, out=scale)
    torch.mul(work.sub_(one).sqrt_().add_(z).square_(), scale, out=after)


def _exponential(
    mean: Float[Tensor, " few"], ratio: Float[Tensor, " few"], z: Float[Tensor, " few"], half: Float[Tensor, ""]
) -> tuple[Float[Tensor, " few"], Float[Tensor, " few"]]:
    """Probability q that v' is not zero; and v', which then is exponential of mean ``mean / q``."""
    q = ratio.reciprocal_().add_(half).reciprocal_()
    above = z.mul_(math.sqrt(0.5)).erfc_().mul_(half)  # 1 - U; erfc keeps the tail that ndtr rounds to zero
    return q, torch.div(q, above).log_().clamp_(min=0).mul_(mean).div_(q)
