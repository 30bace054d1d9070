"""Call spread."""

from __future__ import annotations

from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from praesidium.hedging.conditions import Conditions, Greeks
from praesidium.hedging.liabilities.vanilla import Vanilla
from praesidium.pricing import black_scholes


class CallSpread(Vanilla, kind="call_spread"):
    """(S_T - K)^+ - (S_T - U)^+, each call at the volatility of its own strike.

    Attributes:
        upper: the strike U, above ``strike``, where the payoff stops growing. It rolls along with ``strike``.
    """

    upper: float = Field(default=1.1, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> CallSpread:
        if self.upper <= self.strike:
            raise ValueError(
                f"upper: {self.upper:g} is not above strike {self.strike:g}; the payoff grows between them"
            )
        return self

    def worth(self, at: Conditions, strike: Tensor | float) -> Tensor:
        low, high = (
            black_scholes.price(at.spot, one, at.tau, at.volatility(one), rate=at.rate, dividend=at.dividend)
            for one in self._both(strike)
        )
        return low - high

    def sensitivities(self, at: Conditions, strike: Tensor | float) -> Greeks:
        low, high = (
            black_scholes.greeks(at.spot, one, at.tau, at.volatility(one), rate=at.rate, dividend=at.dividend)
            for one in self._both(strike)
        )
        return Greeks(low[0] - high[0], low[1] - high[1])

    def paid(self, spot: Float[Tensor, " paths"], strike: Tensor | float) -> Float[Tensor, " paths"]:
        low, high = self._both(strike)
        return (spot - low).clamp(min=0) - (spot - high).clamp(min=0)

    def _both(self, strike: Tensor | float) -> tuple[Tensor | float, Tensor | float]:
        return strike, strike * (self.upper / self.strike)
