"""Hedging with a listed option: its second sensitivity against the claim's, and the spot for the rest."""

from __future__ import annotations

from abc import abstractmethod
from typing import final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from praesidium.component import InputError
from praesidium.hedging.state import State
from praesidium.policies.policy import Policy, Sizes

LEAST = 1e-6  # sensitivity of an option below which it hedges nothing


def no_option(kind: str) -> InputError:
    """What to say where the first instrument beside the spot is no option, or there is none."""
    return InputError(
        f"{kind}: there is no option to hedge with; put one first: instruments=[{{kind: listed_option, days: 120}}]"
    )


class OptionHedge(Policy):
    """Trade the first instrument beside the spot to the sensitivity of the claim, and the spot to what delta is left.

    Attributes:
        share: part of the sensitivity that is hedged; 0 is delta hedging.
        cap: largest position in the option, either way: near its expiry an option would have to be held in masses.
    """

    share: float = Field(default=1.0, ge=0, le=1)
    cap: float = Field(default=2.0, gt=0)

    def build(self, sizes: Sizes, *, seed: int) -> OptionHedge:
        if not sizes.option:
            raise no_option(self.kind)
        return self

    @abstractmethod
    def ratio(self, state: State) -> tuple[Tensor, Tensor]:
        """Sensitivity of the claim, and of the option."""

    @final
    def positions(self, state: State) -> Float[Tensor, "steps paths instruments"]:
        """Spot, option, and nothing of other instruments."""
        if state.hedges is None:
            raise no_option(self.kind)
        claim, option = self.ratio(state)
        wanted = self.share * claim / torch.where(option.abs() > LEAST, option, 1)
        held = torch.where(option.abs() > LEAST, wanted, 0).clamp(-self.cap, self.cap)
        spot = state.delta - held * state.hedges[..., 0, 0]
        others = torch.zeros_like(state.hedge[..., 2:])
        return torch.cat([spot.unsqueeze(-1), held.unsqueeze(-1), others], dim=-1)
