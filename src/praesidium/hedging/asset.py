"""A further asset as a hedge of a claim on several."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import NonNegativeInt
from torch import Tensor

from praesidium.component import InputError
from praesidium.hedging.conditions import Greeks
from praesidium.hedging.instruments import Contract, Instrument
from praesidium.markets.paths import Paths


class Asset(Instrument, kind="asset"):
    """One of the further assets of a market of several.

    Attributes:
        number: which one; the first beside the spot is 0.
    """

    number: NonNegativeInt = 0

    def days_left(self, horizon: int) -> list[int] | None:
        return None

    def textbook(self, greeks: Greeks) -> Tensor:
        return torch.zeros_like(greeks.delta) if greeks.others is None else greeks.others[self.number]

    def contract(self, paths: Paths, level: Float[Tensor, "rebalances paths"] | None) -> Contract:
        """It has no delta in the spot.

        Raises:
            InputError: if the market has no such asset.
        """
        there = 0 if paths.others is None else len(paths.others)
        if paths.others is None or self.number >= there:
            raise InputError(
                f"instruments: asset {self.number} is wanted, but the market has {there} beside the spot; "
                "choose a market of several assets, such as correlated_gbm"
            )
        price = paths.others[self.number, paths.lookback :]
        if paths.discount is not None:
            price = price * paths.discount
        none = torch.zeros_like(price[:-1])
        return Contract(
            price=price[:-1],
            gains=price[1:] * paths.growth - price[:-1],
            delta=none,
            gamma=none,
            vega=none,
            fresh=torch.arange(paths.horizon, device=price.device) == 0,
        )
