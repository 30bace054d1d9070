"""Asymptotically optimal no-trade band around delta."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from praesidium.hedging.state import State
from praesidium.policies.policy import Policy, Sizes


class WhalleyWilmott(Policy, kind="whalley_wilmott"):
    """Trade only to the edge of a band around delta, of half width (3/2 k S Gamma^2 / a)^(1/3).

    The optimum for exponential utility as the proportional cost k goes to zero. The trader knows the cost.

    Attributes:
        risk_aversion: a, per unit of the spot at inception; infinitely averse is delta hedging.

    Source: Whalley and Wilmott 1997, eq. 3.10.
    """

    risk_aversion: float = Field(default=1000.0, gt=0)

    def build(self, sizes: Sizes, *, seed: int) -> WhalleyWilmott:
        return self

    def positions(self, state: State) -> Float[Tensor, "steps paths *instruments"]:
        """The position nearest to the last one within the band."""
        width = (1.5 * state.current_rate * state.spot * state.gamma.square() / self.risk_aversion) ** (1 / 3)
        return state.book(follow(state.delta - width, state.delta + width))


def follow(low: Float[Tensor, "steps paths"], high: Float[Tensor, "steps paths"]) -> Float[Tensor, "steps paths"]:
    """Positions that start empty and move only as far as the band forces them to."""
    position, held = torch.zeros_like(low[0]), []
    for floor, ceiling in zip(low, high, strict=True):
        position = torch.minimum(torch.maximum(position, floor), ceiling)
        held.append(position)
    return torch.stack(held)
