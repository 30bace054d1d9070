"""Digital option."""

from __future__ import annotations

from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from praesidium.hedging.conditions import Conditions, Greeks
from praesidium.hedging.liabilities.vanilla import Vanilla
from praesidium.pricing import digital
from praesidium.pricing.standardization import Right


class Digital(Vanilla, kind="digital"):
    """Cash if S_T > K, or for a put if S_T <= K; valued at the volatility of its strike, without the smile's slope.

    Attributes:
        right: call or put.
        cash: what is paid, in units of the spot at inception.
    """

    right: Right = "call"
    cash: PositiveFloat = 0.1

    def worth(self, at: Conditions, strike: Tensor | float) -> Tensor:
        carry = {"rate": at.rate, "dividend": at.dividend}
        return self.cash * digital.price(at.spot, strike, at.tau, at.volatility(strike), **carry, right=self.right)

    def sensitivities(self, at: Conditions, strike: Tensor | float) -> Greeks:
        carry = {"rate": at.rate, "dividend": at.dividend}
        delta, gamma = digital.greeks(at.spot, strike, at.tau, at.volatility(strike), **carry, right=self.right)
        return Greeks(self.cash * delta, self.cash * gamma)

    def paid(self, spot: Float[Tensor, " paths"], strike: Tensor | float) -> Float[Tensor, " paths"]:
        won = (spot > strike) if self.right == "call" else (spot <= strike)
        return self.cash * won.to(spot.dtype)
