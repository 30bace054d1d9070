"""Basket option."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor

from praesidium.component import InputError
from praesidium.hedging.conditions import Conditions, Greeks
from praesidium.hedging.liability import Liability
from praesidium.markets.paths import Paths
from praesidium.pricing import basket
from praesidium.pricing.standardization import Right


class Basket(Liability, kind="basket"):
    """(B - K)^+, or (K - B)^+ for a put, of the weighted sum B of the spot and the first further assets.

    B is taken as lognormal, see :mod:`praesidium.pricing.basket`, at the volatilities at the money; a smile changes
    nothing here. Needs a market of several assets, and ``asset`` instruments to be hedged in all of them.

    Attributes:
        weights: of the spot and the further assets in their order, all of which start at 1.
        strike: in units of the spot at inception.
        correlation: of any two assets, at which it is marked and hedged.
        right: call or put.
    """

    weights: tuple[PositiveFloat, ...] = Field(default=(0.5, 0.5), min_length=2)
    strike: float = Field(default=1.0, gt=0)
    correlation: float = Field(default=0.5, gt=-1, le=1)
    right: Right = "call"

    @model_validator(mode="after")
    def _possible(self) -> Basket:
        least = -1 / (len(self.weights) - 1)
        if self.correlation < least:
            raise ValueError(
                f"correlation: {self.correlation:g} is impossible between {len(self.weights)} assets; "
                f"the lowest is {least:.3g}"
            )
        return self

    def payoff(self, paths: Paths) -> Float[Tensor, " paths"]:
        others = self._mine(None if paths.others is None else paths.others[:, -1])
        total = self.weights[0] * paths.episode[-1]
        for weight, price in zip(self.weights[1:], others, strict=True):
            total = total + weight * price
        return (total - self.strike if self.right == "call" else self.strike - total).clamp(min=0)

    def value(self, at: Conditions) -> Tensor:
        return basket.price(
            torch.cat([at.spot.unsqueeze(0), self._mine(at.others)]),
            self.strike,
            at.tau,
            torch.cat([at.level.unsqueeze(0), self._mine(at.others_level)]),
            weights=self.weights,
            correlation=self.correlation,
            rate=at.rate,
            dividend=at.dividend,
            right=self.right,
        )

    def greeks(self, at: Conditions) -> Greeks:
        """Of an asset outside the basket the delta is 0."""
        prices = at.spot, self._all(at.others)
        with torch.enable_grad():
            spot, others = (one.detach().clone().requires_grad_() for one in prices)
            value = self.value(replace(at, spot=spot, others=others))
            delta, beside = torch.autograd.grad(value.sum(), (spot, others), create_graph=True)
            (gamma,) = torch.autograd.grad(delta.sum(), spot)
        return Greeks(delta.detach(), gamma, beside.detach())

    def log_moneyness(self, spot: Tensor) -> Tensor:
        """Of the spot alone."""
        return torch.log(spot / self.strike)

    def _mine(self, others: Tensor | None) -> Tensor:
        """What belongs to the basket of something that there is for each further asset."""
        return self._all(others)[: len(self.weights) - 1]

    def _all(self, others: Tensor | None) -> Tensor:
        wanted, there = len(self.weights) - 1, 0 if others is None else len(others)
        if others is None or there < wanted:
            raise InputError(
                f"basket: weights has {wanted} beside that of the spot, but the market has {there} further assets; "
                "choose a market of several assets, such as correlated_gbm"
            )
        return others
