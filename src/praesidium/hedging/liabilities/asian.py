"""Asian option."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from praesidium.hedging.conditions import Conditions, Greeks
from praesidium.hedging.liabilities.memory import Calendar, at_strike, recall, remember
from praesidium.hedging.liability import Liability
from praesidium.markets.paths import Paths
from praesidium.pricing import asian
from praesidium.pricing.standardization import Right


class Asian(Liability, kind="asian"):
    """(A - K)^+, or (K - A)^+ for a put, of the mean A of the closing prices of days 1 to the last.

    With the mean of the i prices so far known, it is n / (i + n) options on the mean of the n prices to come, which
    is taken as lognormal; see :mod:`praesidium.pricing.asian` for how good that is. On the last day it is exact.

    Attributes:
        strike: in units of the spot at inception; its volatility is that of the smile.
        right: call or put.
    """

    strike: float = Field(default=1.0, gt=0)
    right: Right = "call"

    def payoff(self, paths: Paths) -> Float[Tensor, " paths"]:
        return self._exercised(paths.episode[1:].mean(0))

    def summary(self, paths: Paths) -> Float[Tensor, "rebalances paths 3"]:
        """Sum of the prices so far, their number, and the number of those to come."""
        spot = paths.episode
        total = torch.cat([torch.zeros_like(spot[:1]), spot[1:].cumsum(0)])
        return remember(total, *Calendar.of(paths))

    def value(self, at: Conditions) -> Tensor:
        total, share, option, carry = self._to_come(at)
        return torch.where(share > 0, share * asian.price(at.spot, *option, **carry, right=self.right), total)

    def greeks(self, at: Conditions) -> Greeks:
        _, share, option, carry = self._to_come(at)
        delta, gamma = asian.greeks(at.spot, *option, **carry, right=self.right)
        return Greeks(share * delta, share * gamma)

    def log_moneyness(self, spot: Tensor) -> Tensor:
        return torch.log(spot / self.strike)

    def _to_come(self, at: Conditions) -> tuple[Tensor, Tensor, tuple[Tensor, ...], dict[str, float]]:
        """What it pays if no price is to come, share of the prices to come, and the option on their mean."""
        total, passed, left = recall(at)
        every = passed + left
        left_now = left.clamp(min=1)
        strike = (self.strike * every - total) / left_now
        option = strike, at.tau, at_strike(at, self.strike).level, left_now
        return self._exercised(total / every), left / every, option, {"rate": at.rate, "dividend": at.dividend}

    def _exercised(self, mean: Tensor) -> Tensor:
        return (mean - self.strike if self.right == "call" else self.strike - mean).clamp(min=0)
