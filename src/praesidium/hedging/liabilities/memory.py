"""What claims on a whole path remember of it, and what they hold fixed."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.hedging.conditions import Conditions
from praesidium.markets.paths import Paths


class Calendar(NamedTuple):
    """Closing prices that count, by time: those of days 1 to the horizon.

    Attributes:
        passed: number of them up to times 0..horizon.
        left: number of those to come.
    """

    passed: Float[Tensor, "rebalances 1"]
    left: Float[Tensor, "rebalances 1"]

    @classmethod
    def of(cls, paths: Paths) -> Calendar:
        """The calendar of an episode."""
        passed = torch.arange(paths.horizon + 1, dtype=paths.spot.dtype, device=paths.spot.device).unsqueeze(-1)
        return cls(passed, paths.horizon - passed)


def remember(first: Float[Tensor, "rebalances paths"], *rest: Tensor) -> Float[Tensor, "rebalances paths parts"]:
    """Parts of a memory side by side; :func:`recall` takes them apart."""
    return torch.stack([first, *(one.expand_as(first) for one in rest)], dim=-1)


def recall(at: Conditions) -> tuple[Tensor, ...]:
    """The parts that were remembered.

    Raises:
        ValueError: if the conditions carry no memory.
    """
    if at.summary is None:
        raise ValueError("a claim on a whole path needs its summary; make conditions by `liability.conditions(paths)`")
    return at.summary.unbind(-1)


def at_strike(at: Conditions, strike: float) -> Conditions:
    """The same conditions with the volatility of one strike for all, which Black-Scholes Greeks hold fixed."""
    return replace(at, level=at.volatility(strike), smile=None)
