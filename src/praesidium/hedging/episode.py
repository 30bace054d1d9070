"""Episode: the books of a hedge, day by day."""

from __future__ import annotations

from dataclasses import dataclass

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
    def drawdown(self) -> Float[Tensor, " paths"]:
        """Largest fall of the marked book from its running peak, the start included."""
        start = torch.zeros_like(self.daily[:1])
        return max_drawdown(torch.cat([start, self.daily.cumsum(0)]))

    def to(self, device: torch.device | str) -> Episode:
        """The same books on another device."""
        return Episode(**{name: value.to(device) for name, value in vars(self).items()})


def trades(positions: Float[Tensor, "steps paths"]) -> Float[Tensor, "steps paths"]:
    """Change of position at times 0..horizon-1, from an empty book."""
    return positions.diff(dim=0, prepend=torch.zeros_like(positions[:1]))


def settle(positions: Float[Tensor, "steps paths"], paths: Paths, liability: Liability, cost_rate: float) -> Episode:
    """Keep the books of given positions.

    Args:
        positions: held over (t, t+1], for t = 0..horizon-1.
        paths: the market.
        liability: what was sold.
        cost_rate: proportional cost of a trade.
    """
    positions, spot, implied = positions.double(), paths.episode.double(), paths.implied.double()
    tau = torch.arange(paths.horizon, -1, -1, dtype=spot.dtype, device=spot.device).unsqueeze(-1) * paths.dt
    marks = liability.value(spot, tau, implied)
    rate = spot.new_full((paths.count,), cost_rate)
    costs = proportional(trades(positions), spot[:-1], rate)
    daily = positions * spot.diff(dim=0) - costs - marks.diff(dim=0)
    return Episode(positions, costs, daily, premium=marks[0], payoff=liability.payoff(spot))
