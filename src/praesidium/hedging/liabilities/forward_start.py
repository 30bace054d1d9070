"""Forward-start option."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeInt
from torch import Tensor

from praesidium.component import InputError
from praesidium.hedging.conditions import Conditions, Greeks
from praesidium.hedging.liabilities.memory import recall, remember
from praesidium.hedging.liability import Liability
from praesidium.markets.paths import Paths
from praesidium.pricing import black_scholes
from praesidium.pricing.standardization import Right, present_value


class ForwardStart(Liability, kind="forward_start"):
    """A call or a put whose strike is ``moneyness`` times the closing price of a day to come, the start.

    Before the start it is worth a fixed number of units of the spot, S e^(-q u) C(1, moneyness, tau - u), u years
    before it, at the volatility over all the time left: its delta does not move and its gamma is zero.

    Attributes:
        start: day of the episode that fixes the strike; 0 is inception.
        moneyness: strike over the spot of that day.
        right: call or put.

    Source: Rubinstein 1991, "Pay now, choose later".
    """

    start: NonNegativeInt = 20
    moneyness: float = Field(default=1.0, gt=0)
    right: Right = "call"

    def payoff(self, paths: Paths) -> Float[Tensor, " paths"]:
        self._check(paths.horizon)
        spot, strike = paths.episode[-1], self.moneyness * paths.episode[self.start]
        return (spot - strike if self.right == "call" else strike - spot).clamp(min=0)

    def summary(self, paths: Paths) -> Float[Tensor, "rebalances paths 2"]:
        """The strike, NaN before it is fixed, and the years until then, 0 afterwards."""
        self._check(paths.horizon)
        spot = paths.episode
        days = torch.arange(paths.horizon + 1, dtype=spot.dtype, device=spot.device).unsqueeze(-1)
        until = (self.start - days).clamp(min=0) * paths.dt
        strike = torch.where(until > 0, torch.nan, self.moneyness * spot[self.start])
        return remember(strike, until)

    def value(self, at: Conditions) -> Tensor:
        _, until, _, option, carry = self._option(at)
        return present_value(black_scholes.price(*option, **carry, right=self.right), at.dividend, until)

    def greeks(self, at: Conditions) -> Greeks:
        begun, _, _, option, carry = self._option(at)
        delta, gamma = black_scholes.greeks(*option, **carry, right=self.right)
        return Greeks(torch.where(begun, delta, self.value(at) / at.spot), torch.where(begun, gamma, 0))

    def log_moneyness(self, spot: Tensor) -> Tensor:
        """Of prices from inception on, time first; before the start, that on which the strike will be fixed."""
        future = torch.full_like(spot[: self.start], self.moneyness).log_().neg_()
        strike = self.moneyness * spot[self.start : self.start + 1]
        return torch.cat([future, torch.log(spot[self.start :] / strike)])

    def _option(self, at: Conditions) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, ...], dict[str, float]]:
        fixed, until = recall(at)
        begun = until == 0
        strike = torch.where(begun, fixed, self.moneyness * at.spot)
        option = at.spot, strike, at.tau - until, at.volatility(strike)
        return begun, until, strike, option, {"rate": at.rate, "dividend": at.dividend}

    def _check(self, horizon: int) -> None:
        if self.start >= horizon:
            raise InputError(
                f"forward_start: start={self.start} is not before maturity, which is day {horizon}; take an earlier day"
            )
