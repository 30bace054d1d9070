"""Book: the ledger of some paths, kept day by day while the decisions come in."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError
from praesidium.gymnasium.orders import Orders
from praesidium.hedging.dealing import Dealing
from praesidium.hedging.episode import by_day
from praesidium.hedging.rollout import Trial


class Book:
    """Positions, profits and costs of the paths of a trial, as :func:`praesidium.hedging.rollout.rollout` has them.

    A day takes the same time whatever day it is.

    Args:
        trial: the market and the liability.
        orders: what actions ask for.

    Attributes:
        day: the next one to decide on.
        cost: of the last day, margin included; zero before the first.
        pnl: profit so far, premium included; after the last day that of the episode.
    """

    def __init__(self, trial: Trial, orders: Orders) -> None:
        self.state, self.orders = trial.state, orders
        self._ledger = trial.ledger
        self._dealing = replace(self._ledger.dealing, closing=None)
        self._gains = self._ledger.earnings
        self._marked = self._ledger.marks.diff(dim=0)
        self._positions: list[Tensor] = []
        self._held = torch.zeros_like(self.state.hedge[0])
        self._echo = torch.zeros_like(self._gains[0])
        self.day, self._horizon = 0, len(self._gains)
        self.cost = self.pnl = torch.zeros_like(self._ledger.payoff, dtype=torch.float64)

    @property
    def over(self) -> bool:
        """Whether the liability has matured."""
        return self.day == self._horizon

    @property
    def instruments(self) -> int:
        """Number of the instruments, the spot among them."""
        return 1 if self._gains.ndim == 2 else self._gains.shape[-1]

    @property
    def spot(self) -> Float[Tensor, " paths"]:
        """Price of the underlying now."""
        return self._ledger.spot[self.day]

    @property
    def delta(self) -> Float[Tensor, " paths"]:
        """Delta of the liability now, NaN at maturity."""
        return torch.full_like(self.state.delta[0], torch.nan) if self.over else self.state.delta[self.day]

    @property
    def inventory(self) -> Float[Tensor, "paths *instruments"]:
        """What is held before the day's trade, without what has expired."""
        return self._held if self.over or self.state.kept is None else self._held * self.state.kept[self.day]

    @property
    def observation(self) -> Float[Tensor, "paths width"]:
        """What a network sees: the features and the standardized inventory.

        At maturity, when nothing is left to decide, the features are those of the last day.
        """
        mean, deviation = self.state.inventory
        held = (self.inventory - mean) / deviation
        features = self.state.features[min(self.day, self._horizon - 1)]
        return torch.cat([features, held if held.ndim > 1 else held.unsqueeze(-1)], dim=-1)

    def advance(self, actions: Float[Tensor, "paths *instruments"]) -> Float[Tensor, " paths"]:
        """Trade, and hold over the next period.

        Returns:
            Mark-to-market profit of the period, net of costs; the premium was received with the first mark.

        Raises:
            InputError: if the liability has matured.
        """
        if self.over:
            raise InputError(f"step: the episode was over after {self.day} days; call reset")
        before, day = self.inventory, slice(self.day, self.day + 1)
        wanted = self.orders.wanted(actions.to(before.dtype), before)
        self._held = wanted if self.state.limits is None else self.state.limits.apply(wanted, before)
        self._positions.append(self._held)
        self.day += 1
        if self.over:
            episode = self._ledger.settle(torch.stack(self._positions))
            profit, self.cost = episode.daily[-1], episode.costs[-1]
        else:
            position = self._held.double()
            self.cost = self._pay(position - before.double(), day)
            profit = by_day(position.unsqueeze(0) * self._gains[day])[0] - self.cost - self._marked[day][0]
        self.pnl = self.pnl + profit
        return profit

    def _pay(self, trade: Float[Tensor, "paths *instruments"], day: slice) -> Float[Tensor, " paths"]:
        """Cost of the trade of a day.

        Impact of past trades is that of one trade the day before, their echo: after e^{-resilience} of each day, their
        displacements add up to the one that it leaves.
        """
        costs = _second_cost(self._dealing, self._echo, trade, day)
        self._echo = self._ledger.frictions.terms[2] * self._echo + trade
        outflow = self._ledger.outflow
        return costs if outflow is None else costs + outflow[day][0]


def _second_cost(dealing: Dealing, first: Tensor, second: Tensor, day: slice) -> Float[Tensor, " paths"]:
    """Cost of the second of two trades, one day apart, on the terms of its day."""
    two = replace(
        dealing,
        price=_twice(dealing.price[day]),
        spread=None if dealing.spread is None else _twice(dealing.spread[day]),
        kept=first.new_zeros(2, 1),  # where nothing is kept, positions are trades
    )
    return by_day(two.costs(torch.stack([first, second])))[1]


def _twice(values: Tensor) -> Tensor:
    return values.expand(2, *values.shape[1:])
