"""The market family: price dynamics that can be simulated."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from praesidium.component import Component
from praesidium.markets.paths import Paths

TRADING_DAYS = 252


class Marked(NamedTuple):
    """Paths with what is needed to mark options on them.

    Attributes:
        spot: starts at 1.
        expected: mean annual quadratic variation over the years left, a curve for each option.
        regime: true state of a market that switches.
        others: spot of further assets, each starts at 1.
        others_expected: their mean annual quadratic variation over the years left on the first curve.
    """

    spot: Float[Tensor, "times paths"]
    expected: Float[Tensor, "curves rebalances paths"]
    regime: Int[Tensor, "times paths"] | None = None
    others: Float[Tensor, "others times paths"] | None = None
    others_expected: Float[Tensor, "others rebalances paths"] | None = None


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
        left: Float[Tensor, "curves rebalances"],
        dt: float,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> Marked:
        """Spot as by :meth:`sample`, and :meth:`expected_variance` at its last times over the years ``left`` at each.

        A market whose paths differ in more than their variance overrides it, so that each path is marked by its own.
        """
        spot, variance = self.sample(paths=paths, steps=steps, dt=dt, generator=generator, dtype=dtype)
        now = variance[-left.shape[1] :]
        return Marked(spot, torch.stack([self.expected_variance(now, years.unsqueeze(-1)) for years in left]))

    @final
    def simulate(
        self,
        *,
        paths: int,
        horizon: int,
        lookback: int,
        generator: torch.Generator,
        left: Sequence[Sequence[int]] = (),
        dt: float = 1 / TRADING_DAYS,
        dtype: torch.dtype = torch.float32,
    ) -> Paths:
        """Episodes of ``horizon`` periods after ``lookback`` periods of history, normalized to spot 1 at inception.

        Args:
            paths: number of episodes.
            horizon, lookback: periods.
            generator: the only source of randomness.
            left: periods left at times 0..horizon of every option that needs a mark, the liability first; if not given,
                that of a liability that matures at the end.
            dt: years a period.
            dtype: precision of the result.
        """
        periods = left or [range(horizon, -1, -1)]
        years = torch.tensor([list(one) for one in periods], dtype=dtype, device=generator.device) * dt
        marked = self.sample_marked(
            paths=paths, steps=lookback + horizon, left=years, dt=dt, generator=generator, dtype=dtype
        )
        implied = marked.expected.sqrt()
        others = marked.others
        return Paths(
            spot=marked.spot.div_(marked.spot[lookback].clone()),
            implied=implied[0],
            dt=dt,
            lookback=lookback,
            listed=implied[1:] if len(implied) > 1 else None,
            others=None if others is None else others / others[:, lookback].unsqueeze(1),
            others_implied=None if marked.others_expected is None else marked.others_expected.sqrt(),
            regime=marked.regime,
        )
