"""Straddle."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from praesidium.hedging.conditions import Conditions, Greeks
from praesidium.hedging.liabilities.vanilla import Vanilla
from praesidium.pricing import black_scholes
from praesidium.pricing.standardization import Right

RIGHTS: tuple[Right, Right] = ("call", "put")


class Straddle(Vanilla, kind="straddle"):
    """|S_T - K|: a call and a put of the same strike."""

    def worth(self, at: Conditions, strike: Tensor | float) -> Tensor:
        call, put = (
            black_scholes.price(
                at.spot, strike, at.tau, at.volatility(strike), rate=at.rate, dividend=at.dividend, right=right
            )
            for right in RIGHTS
        )
        return call + put

    def sensitivities(self, at: Conditions, strike: Tensor | float) -> Greeks:
        call, put = (
            black_scholes.greeks(
                at.spot, strike, at.tau, at.volatility(strike), rate=at.rate, dividend=at.dividend, right=right
            )
            for right in RIGHTS
        )
        return Greeks(call[0] + put[0], call[1] + put[1])

    def paid(self, spot: Float[Tensor, " paths"], strike: Tensor | float) -> Float[Tensor, " paths"]:
        return (spot - strike).abs()
