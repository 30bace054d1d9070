"""No-trade band around a delta of higher volatility: a fit to the optimum of exponential utility."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from praesidium.hedging.state import State
from praesidium.policies.policy import Policy, Sizes
from praesidium.policies.whalley_wilmott import follow


class Zakamouline(Policy, kind="zakamouline"):
    """Trade only to the edge of a band of half width H0 + H1 around delta at sigma sqrt(1 + K).

    With the proportional cost k, the years left T and the risk aversion a,
    H0 = k / (a S sigma^2 T), H1 = 1.12 k^0.31 T^0.05 (e^(-rT) / sigma)^0.25 (|Gamma| / a)^0.5 and
    K = 4.76 k^0.78 T^-0.02 (e^(-rT) / sigma)^0.25 (a S^2 |Gamma|)^0.15, for who has sold a convex claim. The powers fit
    the numerical optimum. Needs ``state.revalue=true``.

    Attributes:
        risk_aversion: a, per unit of the spot at inception.

    Source: Zakamouline 2006, "Efficient analytic approximation of the optimal hedging strategy for a European call
    option with transaction costs".
    """

    risk_aversion: float = Field(default=100.0, gt=0)

    def build(self, sizes: Sizes, *, seed: int) -> Zakamouline:
        return self

    def positions(self, state: State) -> Float[Tensor, "steps paths *instruments"]:
        """The position nearest to the last one within the band."""
        claim, volatility = state.valued
        a, k, tau, S = self.risk_aversion, state.current_rate, state.tau, state.spot
        gamma = state.gamma.abs()
        level = (torch.exp(-claim.rate * tau) / volatility) ** 0.25
        rise = 4.76 * k**0.78 * tau**-0.02 * level * (a * S.square() * gamma) ** 0.15
        delta = state.greeks(volatility * (1 + rise).sqrt()).delta
        width = k / (a * S * volatility.square() * tau)
        width = width + 1.12 * k**0.31 * tau**0.05 * level * (gamma / a).sqrt()
        return state.book(follow(delta - width, delta + width))
