"""Paths: what every market makes and every hedge is judged on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Paths:
    """Spot and option-market volatility along many episodes, time first.

    The first ``lookback`` rows are history that features may look at; row ``lookback`` is the inception of the
    liability, where the spot is 1; then follow ``horizon`` rebalancing periods.

    Attributes:
        spot: price in units of the price at inception.
        implied: annualized volatility at which the market marks the option at times 0..horizon of the episode.
            One number a time and path; it fixes the premium (row 0) and the marks, never the terminal payoff.
        dt: years between two rows.
        lookback: rows of history before inception.
    """

    spot: Float[Tensor, "times paths"]
    implied: Float[Tensor, "rebalances paths"]
    dt: float
    lookback: int

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

    def take(self, paths: Tensor | slice) -> Paths:
        """The chosen paths."""
        return replace(self, spot=self.spot[:, paths], implied=self.implied[:, paths])

    def to(self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Paths:
        """The same paths in another precision or on another device."""
        return replace(
            self, spot=self.spot.to(dtype=dtype, device=device), implied=self.implied.to(dtype=dtype, device=device)
        )
