"""Episode: the books of a hedge, day by day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.data.frictions import NONE, Frictions
from praesidium.hedging.dealing import Dealing
from praesidium.hedging.instruments import Instrument, contracts_of, kept_of, spot_gains
from praesidium.hedging.liability import Liability
from praesidium.markets.paths import Paths
from praesidium.risk import max_drawdown

SOMETIMES = ("prices", "gains", "spread", "outflow")  # of a ledger, by day and path


@dataclass(frozen=True)
class Episode:
    """Positions and money along every path, in units of the spot at inception, in float64.

    The seller receives the premium, trades to ``positions[t]`` at time t, earns ``positions[t] (S_{t+1} - S_t)`` and
    pays the payoff at maturity. Marking the liability along the way moves profit between days, never its sum. With
    interest, everything is money of inception.

    Attributes:
        positions: held over (t, t+1]; with several instruments the spot first.
        trades: change of each position at times 0..horizon-1, from an empty book.
        costs: of the trades at time t, t = 0..horizon-1, and of margin; maturity is free unless positions are unwound.
        daily: mark-to-market profit of each period, premium included; its sum over time is ``pnl``.
        premium: value of the liability at inception, by its mark.
        payoff: paid at maturity.
    """

    positions: Float[Tensor, "steps paths *instruments"]
    trades: Float[Tensor, "steps paths *instruments"]
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
        """Sum of absolute trades, in units: shares of the spot, and contracts."""
        return _by_path(self.trades.abs().sum(0))

    @property
    def held(self) -> Float[Tensor, " paths"]:
        """Sum over days of the absolute positions."""
        return _by_path(self.positions.abs().sum(0))

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


@dataclass(frozen=True)
class Ledger:
    """A market with what was sold in it, ready to keep the books of any positions. All money is that of inception.

    Attributes:
        spot: price of the underlying at times 0..horizon, in money of its day.
        marks: value of the liability at these times, in float64; the last one is the payoff.
        payoff: of the liability.
        cost_rate: proportional cost of a trade in the spot.
        prices, gains: of the instruments beside the spot; None where there are none.
        rates: their proportional costs over that of the spot.
        kept: as of :class:`praesidium.hedging.dealing.Dealing`.
        spread: factor on the proportional costs by day.
        outflow: margin paid by day.
        frictions: what else is charged.
        discount: worth at inception of money at times 0..horizon; None without interest.
        growth: what a unit of the spot becomes over a day by its dividends.
    """

    spot: Float[Tensor, "rebalances paths"]
    marks: Float[Tensor, "rebalances paths"]
    payoff: Float[Tensor, " paths"]
    cost_rate: float
    prices: Float[Tensor, "steps paths beside"] | None = None
    gains: Float[Tensor, "steps paths beside"] | None = None
    rates: tuple[float, ...] = ()
    kept: Float[Tensor, "steps instruments"] | None = None
    spread: Float[Tensor, "steps paths"] | None = None
    outflow: Float[Tensor, "steps paths"] | None = None
    frictions: Frictions = NONE
    discount: Float[Tensor, "rebalances 1"] | None = None
    growth: float = 1.0

    @classmethod
    def open(
        cls,
        paths: Paths,
        liability: Liability,
        cost_rate: float,
        *,
        instruments: Sequence[Instrument] = (),
        frictions: Frictions = NONE,
    ) -> Ledger:
        """Mark the liability and the instruments along the paths."""
        exact = paths.to(dtype=torch.float64)
        own = {name: getattr(frictions, name)(exact) for name in ("spread", "outflow")}
        beside: dict[str, Any] = {}
        if instruments:
            contracts = contracts_of(exact, instruments)
            beside = {
                "prices": torch.stack([one.price for one in contracts], dim=-1),
                "gains": torch.stack([one.gains for one in contracts], dim=-1),
                "rates": tuple(one.cost_multiple for one in instruments),
                "kept": kept_of(contracts).double(),
            }
        return cls(
            spot=paths.episode,
            marks=liability.marks(exact),
            payoff=liability.payoff(exact),
            cost_rate=cost_rate,
            frictions=frictions,
            discount=exact.discount,
            growth=paths.growth,
            **own,
            **beside,
        )

    def take(self, paths: slice) -> Ledger:
        """The ledger of the chosen paths."""
        by_path = {name: getattr(self, name) for name in ("spot", "marks", *SOMETIMES)}
        chosen = {name: one[:, paths] for name, one in by_path.items() if one is not None}
        return replace(self, **chosen, payoff=self.payoff[paths])

    def settle(self, positions: Float[Tensor, "steps paths *instruments"]) -> Episode:
        """Keep the books of positions held over (t, t+1], for t = 0..horizon-1."""
        positions, dealing = positions.double(), self.dealing
        costs = by_day(dealing.costs(positions))
        if self.outflow is not None:
            costs = costs + self.outflow
        daily = by_day(positions * self.earnings) - costs - self.marks.diff(dim=0)
        return Episode(positions, dealing.trades(positions), costs, daily, premium=self.marks[0], payoff=self.payoff)

    @property
    def earnings(self) -> Float[Tensor, "steps paths *instruments"]:
        """What a unit of each instrument earns over (t, t+1]."""
        _, gains = spot_gains(self.spot.double(), self.discount, self.growth)
        return gains if self.gains is None else torch.cat([gains.unsqueeze(-1), self.gains], dim=-1)

    @property
    def dealing(self) -> Dealing:
        """What is charged for trades."""
        price, gains = spot_gains(self.spot.double(), self.discount, self.growth)
        closing = price[-1] + gains[-1]
        rate, spread = price.new_tensor(self.cost_rate), self.spread
        terms = None if self.frictions.plain else price.new_tensor(self.frictions.terms)
        if self.prices is None or self.gains is None:
            return Dealing(price, rate, None, spread, terms, closing)
        beside = self.prices[-1] + self.gains[-1]
        return Dealing(
            price=torch.cat([price.unsqueeze(-1), self.prices], dim=-1),
            rate=rate * price.new_tensor([1.0, *self.rates]),
            kept=self.kept,
            spread=None if spread is None else spread.unsqueeze(-1),
            terms=terms,
            closing=torch.cat([closing.unsqueeze(-1), beside], dim=-1),
        )


def settle(
    positions: Float[Tensor, "steps paths *instruments"],
    paths: Paths,
    liability: Liability,
    cost_rate: float,
    *,
    instruments: Sequence[Instrument] = (),
    frictions: Frictions = NONE,
) -> Episode:
    """Keep the books of given positions.

    Args:
        positions: held over (t, t+1], for t = 0..horizon-1; with several instruments the spot first.
        paths: the market.
        liability: what was sold.
        cost_rate: proportional cost of a trade in the spot.
        instruments: what is traded beside the spot.
        frictions: what else is charged.
    """
    ledger = Ledger.open(paths, liability, cost_rate, instruments=instruments, frictions=frictions)
    return ledger.settle(positions)


def by_day(values: Float[Tensor, "steps paths *instruments"]) -> Float[Tensor, "steps paths"]:
    """Sum over the instruments, where there are several."""
    return values.sum(-1) if values.ndim > 2 else values


def _by_path(values: Float[Tensor, "paths *instruments"]) -> Float[Tensor, " paths"]:
    return values.sum(-1) if values.ndim > 1 else values
