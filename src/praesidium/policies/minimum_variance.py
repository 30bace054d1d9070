"""Delta that expects volatility to move with the spot."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError
from praesidium.hedging.state import State
from praesidium.policies.policy import Policy, Sizes


class MinimumVariance(Policy, kind="minimum_variance"):
    """q = delta + vega slope / S: the spot also hedges the part of a volatility move that goes with it.

    Volatility is taken to move by ``slope`` times the log return; in a Heston market that is rho xi / (2 sigma) at
    first order. Needs ``state.revalue=true``, or an option among the instruments.

    Attributes:
        slope: change of volatility a unit of log return; negative where volatility rises in falling markets.

    Source: Hull and White 2017, "Optimal delta hedging for options", with a constant slope in place of their quadratic.
    """

    slope: float = -0.3

    def build(self, sizes: Sizes, *, seed: int) -> MinimumVariance:
        return self

    def positions(self, state: State) -> Float[Tensor, "steps paths *instruments"]:
        """Delta, less what volatility is expected to give back."""
        if state.vega is None:
            raise InputError("state.revalue: false, but minimum_variance needs vega; say state.revalue=true")
        return state.book(state.delta + self.slope * state.vega / state.spot)
