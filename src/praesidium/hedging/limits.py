"""Limits of position and trade, which every policy keeps."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import PositiveFloat, model_validator
from torch import Tensor

from praesidium.component import Component


class Limits(Component):
    """Bounds on each instrument, in units.

    Attributes:
        position: lowest and highest position; the empty book lies between them.
        trade: largest change of a position a day, either way.
    """

    position: tuple[float, float] | None = None
    trade: PositiveFloat | None = None

    @model_validator(mode="after")
    def _hold_the_empty_book(self) -> Limits:
        if self.position is not None and not self.position[0] <= 0 <= self.position[1]:
            raise ValueError(
                f"position: {list(self.position)} does not hold 0, with which every book starts; write [low, high]"
            )
        return self

    def apply(self, wanted: Tensor, before: Tensor) -> Tensor:
        """The position nearest to the one wanted that can be reached from the one held."""
        if self.trade is not None:
            wanted = torch.minimum(torch.maximum(wanted, before - self.trade), before + self.trade)
        return wanted if self.position is None else wanted.clamp(*self.position)

    def hold(
        self, wanted: Float[Tensor, "steps *batch"], kept: Float[Tensor, "steps instruments"] | None
    ) -> Float[Tensor, "steps *batch"]:
        """The same day after day, from an empty book."""
        before, held = torch.zeros_like(wanted[0]), []
        for day, position in enumerate(wanted):
            if kept is not None:
                before = before * kept[day]
            before = self.apply(position, before)
            held.append(before)
        return torch.stack(held)
