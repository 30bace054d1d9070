"""What hedges are made of besides the spot."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from praesidium.component import Component
from praesidium.hedging.conditions import Greeks
from praesidium.markets.paths import Paths


@dataclass(frozen=True)
class Contract:
    """One instrument along the paths, as a trader meets it at times 0..horizon-1.

    Attributes:
        price: of a unit, at the time of the trade.
        gains: of a unit held over (t, t+1].
        delta, gamma, vega: of a unit, in the spot and its volatility.
        fresh: whether what was held before has expired, so that the book is empty.
    """

    price: Float[Tensor, "steps paths"]
    gains: Float[Tensor, "steps paths"]
    delta: Float[Tensor, "steps paths"]
    gamma: Float[Tensor, "steps paths"]
    vega: Float[Tensor, "steps paths"]
    fresh: Bool[Tensor, " steps"]


class Instrument(Component):
    """Something that can be traded every day beside the spot.

    Attributes:
        cost_multiple: its proportional cost, as a share of its own price, over that of the spot.
    """

    cost_multiple: float = Field(default=1.0, ge=0)

    @abstractmethod
    def days_left(self, horizon: int) -> list[int] | None:
        """Days to expiry at times 0..horizon of what can be bought then; None where that has no volatility to mark."""

    @abstractmethod
    def textbook(self, greeks: Greeks) -> Tensor:
        """Position that hedges the liability beside delta in the spot, by the Greeks of the liability."""

    @abstractmethod
    def contract(self, paths: Paths, level: Float[Tensor, "rebalances paths"] | None) -> Contract:
        """Prices and gains along the paths, in money of inception.

        Args:
            paths: the market.
            level: volatility at the money over the days left, at which the market marks it.
        """


def contracts_of(paths: Paths, instruments: Sequence[Instrument]) -> list[Contract]:
    """The instruments along the paths; those that need a mark take the paths' listed volatilities in their order."""
    levels = iter(() if paths.listed is None else paths.listed)
    return [
        one.contract(paths, None if one.days_left(paths.horizon) is None else next(levels, None)) for one in instruments
    ]


def kept_of(contracts: Sequence[Contract]) -> Float[Tensor, "steps instruments"]:
    """One where what was held before is still there, zero where it has expired; the spot first, which never does."""
    fresh = torch.stack([torch.zeros_like(contracts[0].fresh), *(one.fresh for one in contracts)], dim=-1)
    return 1 - fresh.to(contracts[0].price.dtype)


def spot_gains(
    spot: Float[Tensor, "rebalances paths"], discount: Float[Tensor, "rebalances 1"] | None, growth: float
) -> tuple[Float[Tensor, "steps paths"], Float[Tensor, "steps paths"]]:
    """Price of the spot at times 0..horizon-1, and what a unit held over (t, t+1] earns, in money of inception.

    Args:
        spot: at times 0..horizon.
        discount: worth at inception of money at these times; None without interest.
        growth: what one unit becomes over a period by its dividends.
    """
    if discount is not None:
        spot = spot * discount
    if growth == 1:
        return spot[:-1], spot.diff(dim=0)
    return spot[:-1], spot[1:] * growth - spot[:-1]
