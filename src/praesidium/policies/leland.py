"""Delta at a volatility that pays for the trading."""

from __future__ import annotations

import math

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from praesidium.hedging.state import State
from praesidium.policies.policy import Policy, Sizes


class Leland(Policy, kind="leland"):
    """Delta at the volatility sigma sqrt(1 + m A), A = sqrt(8 / pi) k / (sigma sqrt(dt)), traded to in full every day.

    The higher volatility lifts the value of the sold claim by what trading at the proportional cost k, one way, will
    take. Needs ``state.revalue=true``.

    Attributes:
        multiplier: m; 1 is Leland's, 0 is delta.

    Source: Leland 1985, with the round trip at 2 k.
    """

    multiplier: float = Field(default=1.0, ge=0)

    def build(self, sizes: Sizes, *, seed: int) -> Leland:
        return self

    def positions(self, state: State) -> Float[Tensor, "steps paths *instruments"]:
        """Delta at the higher volatility."""
        claim, volatility = state.valued
        number = math.sqrt(8 / math.pi / claim.dt) * state.current_rate / volatility
        return state.book(state.greeks(volatility * (1 + self.multiplier * number).sqrt()).delta)
