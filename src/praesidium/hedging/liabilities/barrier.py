"""Barrier option."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor

from praesidium.hedging.conditions import Conditions, Greeks
from praesidium.hedging.liabilities.memory import Calendar, at_strike, recall, remember
from praesidium.hedging.liability import Liability, by_differentiation
from praesidium.markets.paths import Paths
from praesidium.pricing import barrier, black_scholes
from praesidium.pricing.barrier import Direction, Knock
from praesidium.pricing.standardization import Right


class Barrier(Liability, kind="barrier"):
    """A call or a put that starts (``in``) or ends (``out``) with the first closing price at the barrier or beyond.

    Valued in closed form with a correction for the days between which nobody looks, see
    :func:`praesidium.pricing.barrier.price`. Once knocked in it is the plain option, once knocked out it is nothing.

    Attributes:
        strike, barrier: in units of the spot at inception; the volatility is that of the strike.
        direction: ``up`` for a barrier above the spot at inception, ``down`` for one below.
        knock: in or out.
        right: call or put.
    """

    strike: float = Field(default=1.0, gt=0)
    barrier: float = Field(default=0.9, gt=0)
    direction: Direction = "down"
    knock: Knock = "out"
    right: Right = "call"

    @model_validator(mode="after")
    def _untouched_at_first(self) -> Barrier:
        if (self.barrier > 1) != (self.direction == "up") or self.barrier == 1:
            side = "above" if self.direction == "up" else "below"
            raise ValueError(
                f"barrier: {self.barrier:g} is not {side} the spot at inception, which is 1; direction is "
                f"{self.direction}"
            )
        call = self.right == "call"
        beyond = self.barrier <= self.strike if call else self.barrier >= self.strike
        if self.knock == "out" and call == (self.direction == "up") and beyond:
            raise ValueError(
                f"barrier: at {self.barrier:g} an {self.direction}-and-out {self.right} of strike {self.strike:g} can "
                "never pay; move the barrier beyond the strike"
            )
        return self

    def payoff(self, paths: Paths) -> Float[Tensor, " paths"]:
        spot = paths.episode[-1]
        paid = (spot - self.strike if self.right == "call" else self.strike - spot).clamp(min=0)
        alive = self._touched(paths.episode).any(0) == (self.knock == "in")
        return torch.where(alive, paid, 0)

    def summary(self, paths: Paths) -> Float[Tensor, "rebalances paths 2"]:
        """Whether the barrier has been touched so far (1 or 0), and the number of days to come."""
        touched = self._touched(paths.episode).to(paths.spot.dtype).cummax(0).values
        return remember(touched, Calendar.of(paths).left)

    def value(self, at: Conditions) -> Tensor:
        touched, left = recall(at)
        carry = {"rate": at.rate, "dividend": at.dividend, "right": self.right}
        volatility = at_strike(at, self.strike).level
        untouched = barrier.price(
            at.spot,
            self.strike,
            self.barrier,
            at.tau,
            volatility,
            direction=self.direction,
            knock=self.knock,
            interval=at.tau / left.clamp(min=1),
            **carry,
        )
        knocked = torch.zeros_like(untouched)
        if self.knock == "in":
            knocked = black_scholes.price(at.spot, self.strike, at.tau, volatility, **carry)
        return torch.where(touched > 0, knocked, untouched)

    def greeks(self, at: Conditions) -> Greeks:
        return by_differentiation(self, at_strike(at, self.strike))

    def log_moneyness(self, spot: Tensor) -> Tensor:
        return torch.log(spot / self.strike)

    def _touched(self, spot: Tensor) -> Bool[Tensor, "..."]:
        return spot >= self.barrier if self.direction == "up" else spot <= self.barrier
