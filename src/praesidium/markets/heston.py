"""Heston: the variance is a square-root process, correlated with the spot."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat, field_validator
from torch import Tensor

from praesidium.markets.market import Market

PSI_C = 1.5  # relative variance of the next v, beyond which its law is taken as exponential with an atom at zero
BLOCK = 32000  # paths; torch splits work over threads from 32768 elements on


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

    Source: Andersen 2008, "Simple and efficient simulation of the Heston stochastic volatility model", with
    gamma_1 = gamma_2 = 1/2 and psi_c = 3/2.
    """

    theta: PositiveFloat = 0.04
    kappa: PositiveFloat = 2.0
    xi: Annotated[float, Field(ge=1e-3)] = 0.3
    rho: Annotated[float, Field(ge=-1, le=1)] = -0.7
    v0: tuple[PositiveFloat, PositiveFloat] = (0.04, 0.04)

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
        for block in zip(spot.tensor_split(blocks, 1), variance.tensor_split(blocks, 1), strict=True):
            self._fill(*block, dt, generator)
        return spot, variance

    def expected_variance(
        self, variance: Float[Tensor, "*shape"], years: Float[Tensor, "*broadcast"] | float
    ) -> Float[Tensor, "*shape"]:
        """theta + (v - theta) (1 - e^{-kappa T}) / (kappa T), which is v at T = 0."""
        decay = self.kappa * torch.as_tensor(years, dtype=variance.dtype, device=variance.device)
        weight = torch.where(decay > 0, -torch.expm1(-decay) / torch.where(decay > 0, decay, 1), 1)
        return variance + (self.theta - variance) * (1 - weight)

    def _fill(
        self,
        spot: Float[Tensor, "times block"],
        variance: Float[Tensor, "times block"],
        dt: float,
        generator: torch.Generator,
    ) -> None:
        kappa, theta, xi, rho = self.kappa, self.theta, self.xi, self.rho
        kept, lost = math.exp(-kappa * dt), -math.expm1(-kappa * dt)
        # Conditional mean and half the conditional variance of the next v, both linear in v.
        mean_0, mean_1 = theta * lost, kept
        half_0, half_1 = theta * xi**2 * lost**2 / (4 * kappa), xi**2 * kept * lost / (2 * kappa)
        # Log-return = shift(v) - K3 v / 2 + K2 v' + sqrt(K3 (v + v')) Z; shift makes the spot a martingale.
        K0 = -rho * kappa * theta * dt / xi
        K1 = 0.5 * dt * (kappa * rho / xi - 0.5) - rho / xi
        K2 = 0.5 * dt * (kappa * rho / xi - 0.5) + rho / xi
        K3 = 0.5 * dt * (1 - rho**2)
        A = K2 + 0.5 * K3

        low, high = self.v0
        v = torch.rand(spot.shape[1], dtype=spot.dtype, device=spot.device, generator=generator)
        v = v.mul_(high - low).add_(low)
        log_spot = torch.zeros_like(v)
        normals = v.new_empty(2, len(v))
        spot[0], variance[0] = 1.0, v
        for t in range(1, len(spot)):
            z_variance, z_spot = normals.normal_(generator=generator)
            mean = (v * mean_1).add_(mean_0)
            ratio = mean.square() / (v * half_1).add_(half_0)  # 2 / psi
            after, shift = _quadratic(mean, ratio, z_variance, A)
            if ratio.amin() < 2 / PSI_C:
                few = (ratio < 2 / PSI_C).nonzero().squeeze(-1)
                after_few, shift_few = _exponential(mean.take(few), ratio.take(few), z_variance.take(few), A)
                after.scatter_(0, few, after_few)
                shift.scatter_(0, few, shift_few)
            if A > 0 and not math.isfinite(shift.amin()):
                # E[e^{A v'}] is infinite for large v; the scheme goes without the correction there.
                shift = torch.where(shift.isfinite(), shift, (v * (K1 + 0.5 * K3)).add_(K0))
            shift.add_(after, alpha=K2).sub_(v, alpha=0.5 * K3)
            log_spot += shift.addcmul_((v + after).sqrt_(), z_spot, value=math.sqrt(K3))
            torch.exp(log_spot, out=spot[t])
            variance[t] = v = after


def _quadratic(
    mean: Float[Tensor, " paths"], ratio: Float[Tensor, " paths"], z: Float[Tensor, " paths"], A: float
) -> tuple[Float[Tensor, " paths"], Float[Tensor, " paths"]]:
    """v' = a (b + z)^2 and -log E[e^{A v'}]; not finite where that mean does not exist."""
    ratio = ratio.clamp(min=2 / PSI_C)  # where it is less, the other branch overwrites the result
    excess = ratio - 1
    root = (excess * ratio).sqrt_()
    a = mean / (ratio + root)
    log = a * (-2 * A)
    rest = (mean - a) / (log + 1)
    after = excess.add_(root).sqrt_().add_(z).square_().mul_(a)
    return after, log.log1p_().mul_(0.5).sub_(rest, alpha=A)


def _exponential(
    mean: Float[Tensor, " some"], ratio: Float[Tensor, " some"], z: Float[Tensor, " some"], A: float
) -> tuple[Float[Tensor, " some"], Float[Tensor, " some"]]:
    """v' = 0 with probability 1 - q, else exponential of mean ``mean / q``; and -log E[e^{A v'}] as above."""
    q = 2 * ratio / (2 + ratio)
    above = 0.5 * torch.erfc(z * math.sqrt(0.5))  # 1 - U; erfc keeps the tail that ndtr rounds to zero
    tilt = A * mean
    return (q / above).log_().clamp_(min=0) * mean / q, -torch.log1p(q * tilt / (q - tilt).clamp_(min=0))
