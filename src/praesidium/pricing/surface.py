"""Volatility surface: slices by maturity, and what lies between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError
from praesidium.pricing.svi import Slice


@dataclass(frozen=True)
class Surface:
    """Total variance is linear in time between slices at the same log of strike over forward.

    Before the first slice and after the last one the volatility at a strike stays what it is there. Slices that do not
    cross leave no arbitrage between maturities. Between strikes there is none before the first slice if there is none
    in it, as Durrleman's function is concave in a factor of total variance and at least 0 for a factor of 0; between
    slices and after the last it is not excluded.

    Attributes:
        slices: by rising maturity.
    """

    slices: tuple[Slice, ...]

    def __post_init__(self) -> None:
        if not self.slices:
            raise InputError("surface: there is no slice; give one at least")
        for one, later in pairwise(self.slices):
            if later.tau <= one.tau:
                raise InputError(
                    f"surface: maturities {one.tau:.6g} and {later.tau:.6g} are not rising; sort them, each once"
                )

    def total_variance(self, k: Tensor, tau: Tensor) -> Float[Tensor, "*broadcast"]:
        """Squared volatility times years, at a log of strike over forward and years to expiry; these broadcast."""
        return self._volatility_squared(k, tau) * tau.to(k.dtype)

    def volatility(self, k: Tensor, tau: Tensor) -> Float[Tensor, "*broadcast"]:
        """Annual implied volatility; arguments as of :meth:`total_variance`."""
        return self._volatility_squared(k, tau).sqrt()

    def ratio(self, moneyness: Tensor, years: Tensor) -> Float[Tensor, "*broadcast"]:
        """Volatility over that at the money: the shape of the smile."""
        level = self._volatility_squared(moneyness.new_zeros(()), years)
        return (self._volatility_squared(moneyness, years) / level).sqrt()

    def settings(self) -> list[dict[str, float]]:
        """Plain data; :meth:`restore` is its inverse."""
        return [asdict(one) for one in self.slices]

    @classmethod
    def restore(cls, settings: Sequence[Mapping[str, Any]]) -> Surface:
        """A surface from :meth:`settings`."""
        return cls(tuple(Slice(**one) for one in settings))

    def _volatility_squared(self, k: Tensor, tau: Tensor) -> Tensor:
        tau = tau.to(k.dtype)
        times = k.new_tensor([one.tau for one in self.slices])
        after = torch.searchsorted(times, tau.contiguous()).clamp(max=len(times) - 1)
        before = (after - 1).clamp(min=0)
        inside = (tau > times[0]) & (tau < times[-1])
        span = torch.where(after > before, times[after] - times[before], 1)
        share = torch.where(inside, (tau - times[before]) / span, 1)
        near, far = self._at(before, k), self._at(after, k)
        mixed = torch.lerp(near, far, share.expand_as(near))
        # Outside, the slice's own variance a year; inside, the mixture over the time itself.
        return mixed / torch.where(inside, tau, times[after])

    def _at(self, number: Tensor, k: Tensor) -> Tensor:
        """Total variance of the slices with these numbers."""
        a, b, rho, m, sigma = (
            k.new_tensor([getattr(one, name) for one in self.slices])[number]
            for name in ("a", "b", "rho", "m", "sigma")
        )
        x = k - m
        return a + b * (rho * x + (x * x + sigma * sigma).sqrt())
