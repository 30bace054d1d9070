"""Hedging by the book: Black-Scholes Greeks."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from praesidium.hedging.state import State
from praesidium.policies.policy import Policy, Sizes


class Delta(Policy, kind="delta"):
    """q_t = Black-Scholes delta, traded to in full every day; in every asset of a claim on several.

    Source: Black and Scholes 1973.
    """

    def build(self, sizes: Sizes, *, seed: int) -> Delta:
        return self

    def positions(self, state: State) -> Float[Tensor, "steps paths *instruments"]:
        """The delta of the liability."""
        return state.hedge
