"""European call."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from praesidium.hedging.conditions import Conditions, Greeks
from praesidium.hedging.liabilities.vanilla import Vanilla
from praesidium.pricing import black_scholes


class EuropeanCall(Vanilla, kind="european_call"):
    """(S_T - K)^+."""

    def worth(self, at: Conditions, strike: Tensor | float) -> Tensor:
        volatility = at.volatility(strike)
        return black_scholes.price(at.spot, strike, at.tau, volatility, rate=at.rate, dividend=at.dividend)

    def sensitivities(self, at: Conditions, strike: Tensor | float) -> Greeks:
        volatility = at.volatility(strike)
        return Greeks(*black_scholes.greeks(at.spot, strike, at.tau, volatility, rate=at.rate, dividend=at.dividend))

    def paid(self, spot: Float[Tensor, " paths"], strike: Tensor | float) -> Float[Tensor, " paths"]:
        return (spot - strike).clamp(min=0)
