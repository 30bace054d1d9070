"""The market family: price dynamics that can be simulated."""

from __future__ import annotations

from abc import abstractmethod
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import Component
from praesidium.markets.paths import Paths

TRADING_DAYS = 252


class Market(Component):
    """Dynamics of one asset with a variance process, under a measure that makes the spot a martingale."""

    @abstractmethod
    def sample(
        self, *, paths: int, steps: int, dt: float, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "times paths"], Float[Tensor, "times paths"]]:
        """Simulate on the generator's device.

        Args:
            paths: number of paths.
            steps: number of periods; ``steps + 1`` times are returned.
            dt: years a period.
            generator: the only source of randomness.
            dtype: precision of the result.

        Returns:
            Spot, which starts at 1, and the instantaneous variance of its diffusive part, a year.
        """

    @abstractmethod
    def expected_variance(
        self, variance: Float[Tensor, "*shape"], years: Float[Tensor, "*broadcast"] | float
    ) -> Float[Tensor, "*shape"]:
        """Mean annual quadratic variation of the log price over the next ``years``, given the variance now.

        Jumps count. Its root is the Black-Scholes volatility at which the option is marked.
        """

    def sample_marked(
        self,
        *,
        paths: int,
        steps: int,
        left: Float[Tensor, "rebalances 1"],
        dt: float,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> tuple[Float[Tensor, "times paths"], Float[Tensor, "rebalances paths"]]:
        """Spot as by :meth:`sample`, and :meth:`expected_variance` at its last times over the years ``left`` at each.

        A market whose paths differ in more than their variance overrides it, so that each path is marked by its own.
        """
        spot, variance = self.sample(paths=paths, steps=steps, dt=dt, generator=generator, dtype=dtype)
        return spot, self.expected_variance(variance[-len(left) :], left)

    @final
    def simulate(
        self,
        *,
        paths: int,
        horizon: int,
        lookback: int,
        generator: torch.Generator,
        dt: float = 1 / TRADING_DAYS,
        dtype: torch.dtype = torch.float32,
    ) -> Paths:
        """Episodes of ``horizon`` periods after ``lookback`` periods of history, normalized to spot 1 at inception."""
        left = torch.arange(horizon, -1, -1, dtype=dtype, device=generator.device).unsqueeze(-1) * dt
        spot, expected = self.sample_marked(
            paths=paths, steps=lookback + horizon, left=left, dt=dt, generator=generator, dtype=dtype
        )
        implied = expected.sqrt()
        return Paths(spot=spot.div_(spot[lookback].clone()), implied=implied, dt=dt, lookback=lookback)
