"""Delta hedging with a share of gamma in a listed option, which the network decides."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from praesidium.hedging.state import State
from praesidium.policies.option_hedge import LEAST, no_option
from praesidium.policies.outputs import Output
from praesidium.policies.policy import Sizes

FEW = 2.0  # sigmoid(-2) = 0.12: an option costs many times what the spot costs


class GammaShare(Output, kind="gamma_share"):
    """Of the position that leaves no gamma, the share sigmoid(y_option - 2); delta of the claim and of the option in
    the spot; y besides in all instruments but the option.

    Needs a listed option as the first instrument beside the spot: ``instruments=[{kind: listed_option, days: 120}]``.

    Attributes:
        cap: largest position in the option, either way: near its expiry it would have to be held in masses.
    """

    gain: ClassVar[float] = 0.1

    cap: float = Field(default=2.0, gt=0)

    def check(self, sizes: Sizes) -> None:
        if not sizes.option:
            raise no_option(self.kind)

    def textbook(self, state: State) -> Float[Tensor, "steps *replicas paths instruments sides"]:
        """The hedge without the option, and what changes in all instruments if gamma is hedged in full."""
        if state.hedges is None:
            raise no_option(self.kind)
        delta, gamma = state.hedges[..., 0, 0], state.hedges[..., 0, 1]
        usable = gamma.abs() > LEAST
        held = torch.where(usable, state.gamma / torch.where(usable, gamma, 1), 0).clamp(-self.cap, self.cap)
        others = torch.zeros_like(state.hedge[..., 2:])
        way = torch.cat([(-held * delta).unsqueeze(-1), held.unsqueeze(-1), others], dim=-1)
        return torch.stack([state.hedge, way], dim=-1)

    def position(
        self,
        raw: Float[Tensor, "*batch instruments outputs"],
        delta: Float[Tensor, "*batch instruments sides"],
        previous: Float[Tensor, "*batch instruments"],
    ) -> Float[Tensor, "*batch instruments"]:
        """Positions in all instruments from both sides of :meth:`textbook`."""
        says, (hedge, way) = raw.squeeze(-1), delta.unbind(-1)
        share = torch.sigmoid(says[..., 1:2] - FEW)
        besides = torch.cat([says[..., :1], torch.zeros_like(share), says[..., 2:]], dim=-1)
        return hedge + share * way + besides
