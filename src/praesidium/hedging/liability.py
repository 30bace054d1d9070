"""What was sold."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from praesidium.component import Component
from praesidium.pricing import black_scholes


class Liability(Component):
    """A claim sold at inception and paid at maturity. All values in units of the spot at inception."""

    @abstractmethod
    def payoff(self, spot: Float[Tensor, "rebalances paths"]) -> Float[Tensor, " paths"]:
        """What is paid at maturity (at least 0), given the spot at times 0..horizon."""

    @abstractmethod
    def value(self, spot: Tensor, tau: Tensor, volatility: Tensor) -> Tensor:
        """Black-Scholes value with ``tau`` years left; at ``tau = 0`` the payoff."""

    @abstractmethod
    def greeks(self, spot: Tensor, tau: Tensor, volatility: Tensor) -> tuple[Tensor, Tensor]:
        """Black-Scholes delta and gamma of the claim (of the buyer: a call has positive delta)."""

    @abstractmethod
    def log_moneyness(self, spot: Tensor) -> Tensor:
        """Log of spot over strike."""


class EuropeanCall(Liability, kind="european_call"):
    """European call with a fixed strike; interest rate zero.

    Attributes:
        strike: in units of the spot at inception; 1 is at the money.
    """

    strike: float = Field(default=1.0, gt=0)

    def payoff(self, spot: Float[Tensor, "rebalances paths"]) -> Float[Tensor, " paths"]:
        return (spot[-1] - self.strike).clamp(min=0)

    def value(self, spot: Tensor, tau: Tensor, volatility: Tensor) -> Tensor:
        return black_scholes.price(spot, self.strike, tau, volatility)

    def greeks(self, spot: Tensor, tau: Tensor, volatility: Tensor) -> tuple[Tensor, Tensor]:
        return black_scholes.greeks(spot, self.strike, tau, volatility)

    def log_moneyness(self, spot: Tensor) -> Tensor:
        return torch.log(spot / self.strike)
