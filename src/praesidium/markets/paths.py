"""Paths: what every market makes and every hedge is judged on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor


@runtime_checkable
class Smile(Protocol):
    """How implied volatility varies with the strike."""

    def ratio(self, moneyness: Tensor, years: Tensor) -> Tensor:
        """Volatility at a log of strike over forward, over that at the money."""
        ...


@dataclass(frozen=True)
class Paths:
    """Spot and option-market volatility along many episodes, time first.

    The first ``lookback`` rows are history that features may look at; row ``lookback`` is the inception of the
    liability, where the spot is 1; then follow ``horizon`` rebalancing periods.

    Attributes:
        spot: price in units of the price at inception.
        implied: annualized volatility at which the market marks the liability at times 0..horizon of the episode, at
            the money. One number a time and path; it fixes the premium (row 0) and the marks, never the terminal
            payoff.
        dt: years between two rows.
        lookback: rows of history before inception.
        listed: the same for each listed option, over its own time to expiry.
        others: price of each further asset, in units of its price at inception.
        others_implied: their volatility over the life of the liability.
        regime: true state of the market, where it has any; no policy sees it.
        smile: volatility at other strikes; without one it is the same for all.
        rate, dividend: interest and dividend yield, continuous, a year.
    """

    spot: Float[Tensor, "times paths"]
    implied: Float[Tensor, "rebalances paths"]
    dt: float
    lookback: int
    listed: Float[Tensor, "options rebalances paths"] | None = None
    others: Float[Tensor, "others times paths"] | None = None
    others_implied: Float[Tensor, "others rebalances paths"] | None = None
    regime: Int[Tensor, "times paths"] | None = None
    smile: Smile | None = None
    rate: float = 0.0
    dividend: float = 0.0

    def __post_init__(self) -> None:
        if self.implied.shape != (self.horizon + 1, self.count):
            raise ValueError(
                f"Paths: implied has shape {tuple(self.implied.shape)}, but spot {tuple(self.spot.shape)} "
                f"with lookback {self.lookback} needs {(self.horizon + 1, self.count)}"
            )

    @property
    def horizon(self) -> int:
        """Rebalancing periods from inception to maturity."""
        return self.spot.shape[0] - 1 - self.lookback

    @property
    def count(self) -> int:
        """Number of paths."""
        return self.spot.shape[1]

    @property
    def episode(self) -> Float[Tensor, "rebalances paths"]:
        """Spot at times 0..horizon, without the history."""
        return self.spot[self.lookback :]

    @property
    def discount(self) -> Float[Tensor, "rebalances 1"] | None:
        """Worth at inception of money at times 0..horizon; None without interest."""
        if not self.rate:
            return None
        days = torch.arange(self.horizon + 1, dtype=self.spot.dtype, device=self.spot.device)
        return torch.exp(-self.rate * self.dt * days).unsqueeze(-1)

    @property
    def growth(self) -> float:
        """What one unit of the spot becomes over a period by its dividends, which buy more of it."""
        return math.exp(self.dividend * self.dt)

    def carried(self, rate: float, dividend: float) -> Paths:
        """Martingales as prices in a world of interest and dividends: they drift by rate - dividend a year."""
        if rate == dividend == 0:
            return self
        days = torch.arange(len(self.spot), dtype=self.spot.dtype, device=self.spot.device) - self.lookback
        drift = torch.exp((rate - dividend) * self.dt * days).unsqueeze(-1)
        others = None if self.others is None else self.others * drift
        return replace(self, spot=self.spot * drift, others=others, rate=rate, dividend=dividend)

    def take(self, paths: Tensor | slice) -> Paths:
        """The chosen paths."""
        return replace(self, **{name: one[..., paths] for name, one in self._tensors()})

    def to(self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Paths:
        """The same paths in another precision or on another device."""
        moved = {
            name: one.to(dtype=dtype if one.is_floating_point() else None, device=device)
            for name, one in self._tensors()
        }
        return replace(self, **moved)

    def _tensors(self) -> list[tuple[str, Tensor]]:
        """All that has paths as its last axis."""
        return [(name, one) for name, one in vars(self).items() if isinstance(one, Tensor)]
