"""European put."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from praesidium.hedging.conditions import Conditions, Greeks
from praesidium.hedging.liabilities.vanilla import Vanilla
from praesidium.pricing import black_scholes


class EuropeanPut(Vanilla, kind="european_put"):
    """(K - S_T)^+."""

    def worth(self, at: Conditions, strike: Tensor | float) -> Tensor:
        volatility = at.volatility(strike)
        return black_scholes.price(at.spot, strike, at.tau, volatility, rate=at.rate, dividend=at.dividend, right="put")

    def sensitivities(self, at: Conditions, strike: Tensor | float) -> Greeks:
        carry = {"rate": at.rate, "dividend": at.dividend}
        return Greeks(*black_scholes.greeks(at.spot, strike, at.tau, at.volatility(strike), **carry, right="put"))

    def paid(self, spot: Float[Tensor, " paths"], strike: Tensor | float) -> Float[Tensor, " paths"]:
        return (strike - spot).clamp(min=0)
