"""Episode: the books of a hedge, day by day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.hedging.costs import proportional
from praesidium.hedging.liability import Liability
from praesidium.markets.paths import Paths
from praesidium.risk import max_drawdown


@dataclass(frozen=True)
class Episode:
    """Positions and money along every path, in units of the spot at inception, in float64.

    The seller receives the premium, trades to ``positions[t]`` at time t, earns ``positions[t] (S_{t+1} - S_t)`` and
    pays the payoff at maturity. Marking the liability along the way moves profit between days, never its sum.

    Attributes:
        positions: held over (t, t+1].
        costs: of the trade at time t, t = 0..horizon-1; maturity is free.
        daily: mark-to-market profit of each period, premium included; its sum over time is ``pnl``.
        premium: value of the liability at inception, by its mark.
        payoff: paid at maturity.
    """

    positions: Float[Tensor, "steps paths"]
    costs: Float[Tensor, "steps paths"]
    daily: Float[Tensor, "steps paths"]
    premium: Float[Tensor, " paths"]
    payoff: Float[Tensor, " paths"]

    @property
    def pnl(self) -> Float[Tensor, " paths"]:
        """Terminal profit with the premium: the hedging error."""
        return self.daily.sum(0)

    @property
    def pnl_without_premium(self) -> Float[Tensor, " paths"]:
        """Terminal profit as if the liability had been given away."""
        return self.pnl - self.premium

    @property
    def turnover(self) -> Float[Tensor, " paths"]:
        """Sum of absolute trades, in units of the underlying."""
        return trades(self.positions).abs().sum(0)

    @property
    def held(self) -> Float[Tensor, " paths"]:
        """Sum over days of the absolute position."""
        return self.positions.abs().sum(0)

    @property
    def drawdown(self) -> Float[Tensor, " paths"]:
        """Largest fall of the marked book from its running peak, the start included."""
        start = torch.zeros_like(self.daily[:1])
        return max_drawdown(torch.cat([start, self.daily.cumsum(0)]))

    def to(self, device: torch.device | str) -> Episode:
        """The same books on another device."""
        return Episode(**{name: value.to(device) for name, value in vars(self).items()})

    def tally(self) -> Tally:
        """What is left of every path when the book is closed."""
        return Tally(self.pnl, self.pnl_without_premium, self.drawdown, self.turnover, self.held)


@dataclass(frozen=True)
class Tally:
    """Totals of each episode: all that scores need, at a hundredth of the size of the books.

    Attributes:
        pnl, pnl_without_premium, drawdown, turnover, held: as of :class:`Episode`.
    """

    pnl: Float[Tensor, " paths"]
    pnl_without_premium: Float[Tensor, " paths"]
    drawdown: Float[Tensor, " paths"]
    turnover: Float[Tensor, " paths"]
    held: Float[Tensor, " paths"]

    @classmethod
    def join(cls, parts: Sequence[Tally]) -> Tally:
        """One tally of the paths of all, in their order."""
        return cls(**{name: torch.cat([vars(one)[name] for one in parts]) for name in vars(parts[0])})

    def to(self, device: torch.device | str) -> Tally:
        """The same totals on another device."""
        return Tally(**{name: value.to(device) for name, value in vars(self).items()})


def trades(positions: Float[Tensor, "steps *batch"]) -> Float[Tensor, "steps *batch"]:
    """Change of position at times 0..horizon-1, from an empty book."""
    return positions.diff(dim=0, prepend=torch.zeros_like(positions[:1]))


@dataclass(frozen=True)
class Ledger:
    """A market with what was sold in it, ready to keep the books of any positions.

    Attributes:
        spot: at times 0..horizon.
        marks: value of the liability at these times, in float64; the last one is the payoff.
        cost_rate: proportional cost of a trade.
    """

    spot: Float[Tensor, "rebalances paths"]
    marks: Float[Tensor, "rebalances paths"]
    payoff: Float[Tensor, " paths"]
    cost_rate: float

    @classmethod
    def open(cls, paths: Paths, liability: Liability, cost_rate: float) -> Ledger:
        """Mark the liability along the paths."""
        spot = paths.episode.double()
        tau = torch.arange(paths.horizon, -1, -1, dtype=spot.dtype, device=spot.device).unsqueeze(-1) * paths.dt
        marks = liability.value(spot, tau, paths.implied.double())
        return cls(paths.episode, marks, liability.payoff(spot), cost_rate)

    def take(self, paths: slice) -> Ledger:
        """The ledger of the chosen paths."""
        return replace(self, spot=self.spot[:, paths], marks=self.marks[:, paths], payoff=self.payoff[paths])

    def settle(self, positions: Float[Tensor, "steps paths"]) -> Episode:
        """Keep the books of positions held over (t, t+1], for t = 0..horizon-1."""
        positions, spot = positions.double(), self.spot.double()
        costs = proportional(trades(positions), spot[:-1], spot.new_full((spot.shape[1],), self.cost_rate))
        daily = positions * spot.diff(dim=0) - costs - self.marks.diff(dim=0)
        return Episode(positions, costs, daily, premium=self.marks[0], payoff=self.payoff)


def settle(positions: Float[Tensor, "steps paths"], paths: Paths, liability: Liability, cost_rate: float) -> Episode:
    """Keep the books of given positions.

    Args:
        positions: held over (t, t+1], for t = 0..horizon-1.
        paths: the market.
        liability: what was sold.
        cost_rate: proportional cost of a trade.
    """
    return Ledger.open(paths, liability, cost_rate).settle(positions)
