"""Dealing: what a market charges for a sequence of positions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.hedging.costs import fixed, proportional, quadratic, transient


@dataclass(frozen=True)
class Dealing:
    """Prices at which positions change, and the terms. The last axis is that of the instruments where there are many.

    Attributes:
        price: of a unit at times 0..horizon-1, in money of inception.
        rate: proportional cost.
        kept: one where what was held before is still there, zero where it has expired.
        spread: factor on the proportional cost by day.
        terms: quadratic, impact, what is left of it a day later, fixed, unwind; None where there are none.
        closing: price at maturity, for those who unwind.
    """

    price: Float[Tensor, "steps *batch"]
    rate: Tensor
    kept: Float[Tensor, "steps instruments"] | None = None
    spread: Tensor | None = None
    terms: Tensor | None = None
    closing: Tensor | None = None

    def trades(self, positions: Float[Tensor, "steps *batch"]) -> Float[Tensor, "steps *batch"]:
        """Change of position at times 0..horizon-1, from an empty book."""
        if self.kept is None:
            return positions.diff(dim=0, prepend=torch.zeros_like(positions[:1]))
        kept = self.kept.view(len(self.kept), *[1] * (positions.ndim - 2), -1)
        before = torch.cat([torch.zeros_like(positions[:1]), positions[:-1]])
        return positions - before * kept

    def costs(
        self, positions: Float[Tensor, "steps *batch"], *, smoothing: float = 0.0
    ) -> Float[Tensor, "steps *batch"]:
        """Cost of each trade; closing the book counts to the last day.

        Args:
            positions: held over (t, t+1].
            smoothing: rounds kinks and steps off, for training only.
        """
        trades = self.trades(positions)
        rate = self.rate if self.spread is None else self.rate * self.spread
        costs = proportional(trades, self.price, rate, smoothing=smoothing)
        if self.terms is None:
            return costs
        temporary, impact, left, fee, unwind = self.terms.unbind(-1)
        costs = costs + quadratic(trades, self.price, temporary)
        if impact.any():
            costs = costs + transient(trades, self.price, impact, left)
        costs = costs + fixed(trades, fee, smoothing=smoothing)
        if self.closing is None or not unwind.any():
            return costs
        closed, last = positions[-1:], self.closing.unsqueeze(0)
        exit_rate = rate if self.spread is None else rate[-1:]
        final = proportional(closed, last, exit_rate, smoothing=smoothing)
        final = final + quadratic(closed, last, temporary) + fixed(closed, fee, smoothing=smoothing)
        return torch.cat([costs[:-1], costs[-1:] + unwind * final])
