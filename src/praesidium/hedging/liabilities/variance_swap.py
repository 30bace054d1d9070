"""Variance swap."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from praesidium.hedging.conditions import Conditions, Greeks
from praesidium.hedging.liabilities.memory import Calendar, recall, remember
from praesidium.hedging.liability import Liability
from praesidium.markets.paths import Paths


class VarianceSwap(Liability, kind="variance_swap"):
    """notional (V - strike_variance), with V the mean square of the daily log returns to maturity, times days a year.

    V of a market of constant volatility is its square, so that the value under Black-Scholes is realized so far plus
    volatility squared for the days left, with the small square of the daily drift: exact. The volatility is that at
    the money; a smile changes nothing here. The payoff is negative where the market was calm.

    The last closing price is remembered apart from the spot, as the return of the day begins there. Hence gamma is
    about 2 notional e^(-r tau) / (N dt S^2) on every day, with next to no delta: options hedge it, the spot does not.

    Attributes:
        strike_variance: annual; 0.04 is a volatility of 20 %.
        notional: what is paid for one unit of annual variance, in units of the spot at inception. A vega notional v,
            paid for one unit of volatility, is v / (2 sqrt(strike_variance)) of it.
    """

    strike_variance: PositiveFloat = 0.04
    notional: PositiveFloat = 1.0

    def payoff(self, paths: Paths) -> Float[Tensor, " paths"]:
        variance = paths.episode.log().diff(dim=0).square().mean(0) / paths.dt
        return self.notional * (variance - self.strike_variance)

    def summary(self, paths: Paths) -> Float[Tensor, "rebalances paths 4"]:
        """Sum of squared log returns so far, a year; last closing price; number of days so far and to come."""
        calendar = Calendar.of(paths)
        squares = paths.episode.log().diff(dim=0).square()
        total = torch.cat([torch.zeros_like(squares[:1]), squares.cumsum(0)])
        return remember(total / paths.dt, paths.episode, calendar.passed, calendar.left)

    def value(self, at: Conditions) -> Tensor:
        total, passed, left, day, drift, moved = self._stand(at)
        to_come = left * (at.level.square() * day + drift.square()) + moved * (moved + 2 * drift)
        variance = (total + torch.where(left > 0, to_come / day, 0)) / (passed + left)
        return self.notional * torch.exp(-at.rate * at.tau) * (variance - self.strike_variance)

    def greeks(self, at: Conditions) -> Greeks:
        _, passed, left, day, drift, moved = self._stand(at)
        scale = self.notional * torch.exp(-at.rate * at.tau) * 2 / ((passed + left) * day)
        scale, ahead = torch.where(left > 0, scale, 0), moved + drift
        return Greeks(scale * ahead / at.spot, scale * (1 - ahead) / at.spot.square())

    def log_moneyness(self, spot: Tensor) -> Tensor:
        """Of the spot at inception: there is no strike in the spot."""
        return torch.log(spot)

    def _stand(self, at: Conditions) -> tuple[Tensor, ...]:
        """Sum so far, a year; days so far and to come; length, drift and return so far of the day that is under way."""
        total, last, passed, left = recall(at)
        day = torch.where(left > 0, at.tau / left.clamp(min=1), 1)
        drift = (at.rate - at.dividend - 0.5 * at.level.square()) * day
        return total, passed, left, day, drift, torch.log(at.spot / last)
