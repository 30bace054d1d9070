"""Listed options: a maturity and a strike of their own, rolled when they expire."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor

from praesidium.hedging.conditions import Conditions, Greeks
from praesidium.hedging.instruments import Contract, Instrument
from praesidium.markets.paths import Paths
from praesidium.pricing import black_scholes


class Listed(Instrument, kind="listed_option"):
    """European option that is listed at inception, and again whenever the last one has expired.

    It is marked at the volatility over its own time to expiry, whatever the maturity of the liability. At expiry it is
    settled in cash, at no cost; what is wanted of the next one is bought from an empty book.

    Attributes:
        right: call or put.
        moneyness: strike over the spot at listing.
        days: trading days from listing to expiry.
        cost_multiple: the default makes two basis points in the spot half a percent of the premium.
    """

    right: Literal["call", "put"] = "call"
    moneyness: float = Field(default=1.0, gt=0)
    days: PositiveInt = 120
    cost_multiple: float = Field(default=25.0, ge=0)

    def days_left(self, horizon: int) -> list[int]:
        return [self.days - time % self.days for time in range(horizon + 1)]

    def textbook(self, greeks: Greeks) -> Tensor:
        return torch.zeros_like(greeks.delta)

    def contract(self, paths: Paths, level: Float[Tensor, "rebalances paths"] | None) -> Contract:
        if level is None:
            raise ValueError("a listed option needs the volatility over its days to expiry; simulate with `left`")
        spot = paths.episode
        times = torch.arange(paths.horizon + 1, device=spot.device)
        strike = self.moneyness * spot[times - times % self.days]
        at = Conditions.along(paths, self.days_left(paths.horizon), level, None)
        volatility, carry = at.volatility(strike), {"rate": at.rate, "dividend": at.dividend, "right": self.right}
        price = black_scholes.price(spot, strike, at.tau, volatility, **carry)
        before = slice(None, -1)
        delta, gamma = black_scholes.greeks(spot[before], strike[before], at.tau[before], volatility[before], **carry)
        sign = 1 if self.right == "call" else -1
        expiring = ((times[1:] % self.days) == 0).unsqueeze(-1)
        after = torch.where(expiring, (sign * (spot[1:] - strike[before])).clamp(min=0), price[1:])
        now, discount = price[before], paths.discount
        if discount is not None:
            now, after = now * discount[before], after * discount[1:]
        return Contract(
            price=now,
            gains=after - now,
            delta=delta,
            gamma=gamma,
            vega=black_scholes.vega(spot[before], strike[before], at.tau[before], volatility[before], **carry),
            fresh=times[before] % self.days == 0,
        )
