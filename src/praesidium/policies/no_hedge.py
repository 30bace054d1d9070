"""The policy that never trades."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.hedging.state import State
from praesidium.policies.policy import Policy, Sizes


class NoHedge(Policy, kind="no_hedge"):
    """q_t = 0: the liability runs naked."""

    def build(self, sizes: Sizes, *, seed: int) -> NoHedge:
        return self

    def positions(self, state: State) -> Float[Tensor, "steps paths *instruments"]:
        """Zero, always."""
        return torch.zeros_like(state.hedge)
