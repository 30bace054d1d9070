"""Lookback option."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from praesidium.hedging.conditions import Conditions, Greeks
from praesidium.hedging.liabilities.memory import Calendar, at_strike, recall, remember
from praesidium.hedging.liability import Liability, by_differentiation
from praesidium.markets.paths import Paths
from praesidium.pricing import lookback
from praesidium.pricing.standardization import present_value


class Lookback(Liability, kind="lookback"):
    """A claim on the highest closing price M of days 0 to the last: (M - K)^+, or M - S_T where the strike floats.

    Valued in closed form with a correction for the days between which nobody looks, see
    :func:`praesidium.pricing.lookback.price`.

    Attributes:
        style: ``fixed`` pays above the strike, ``floating`` sells the last price at the highest one.
        strike: in units of the spot at inception; also the strike whose volatility the smile gives.
    """

    style: Literal["fixed", "floating"] = "fixed"
    strike: float = Field(default=1.0, gt=0)

    def payoff(self, paths: Paths) -> Float[Tensor, " paths"]:
        return self._settled(paths.episode.amax(0), paths.episode[-1])

    def summary(self, paths: Paths) -> Float[Tensor, "rebalances paths 2"]:
        """Highest price so far, and the number of days to come."""
        return remember(paths.episode.cummax(0).values, Calendar.of(paths).left)

    def value(self, at: Conditions) -> Tensor:
        highest, left = recall(at)
        floating = self.style == "floating"
        claim = lookback.price(
            at.spot,
            0.0 if floating else self.strike,
            highest,
            at.tau,
            at_strike(at, self.strike).level,
            interval=at.tau / left.clamp(min=1),
            rate=at.rate,
            dividend=at.dividend,
        )
        return claim - present_value(at.spot, at.dividend, at.tau) if floating else claim

    def greeks(self, at: Conditions) -> Greeks:
        return by_differentiation(self, at_strike(at, self.strike))

    def log_moneyness(self, spot: Tensor) -> Tensor:
        return torch.log(spot / self.strike)

    def _settled(self, highest: Tensor, last: Tensor) -> Tensor:
        return highest - last if self.style == "floating" else (highest - self.strike).clamp(min=0)
