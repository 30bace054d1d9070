"""Conditions under which a claim is valued."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.markets.paths import Paths, Smile


class Greeks(NamedTuple):
    """Sensitivities of a claim, of its buyer: a call has positive delta.

    Attributes:
        delta: change with the spot.
        gamma: change of delta with the spot.
        others: change with the price of each further asset, for claims on several.
    """

    delta: Tensor
    gamma: Tensor
    others: Float[Tensor, "others *shape"] | None = None


@dataclass(frozen=True)
class Conditions:
    """Where a claim stands, at some times and paths.

    Attributes:
        spot: in units of the spot at inception.
        tau: years to maturity; broadcasts against the spot.
        level: annual volatility at the money.
        summary: what the claim remembers of the path so far, as its :meth:`Liability.summary` has it.
        others, others_level: price and volatility of further assets.
        smile: volatility at other strikes.
        rate, dividend: continuous, a year.
    """

    spot: Float[Tensor, "*shape"]
    tau: Tensor
    level: Tensor
    summary: Tensor | None = None
    others: Float[Tensor, "others *shape"] | None = None
    others_level: Float[Tensor, "others *shape"] | None = None
    smile: Smile | None = None
    rate: float = 0.0
    dividend: float = 0.0

    @classmethod
    def along(
        cls, paths: Paths, days_left: list[int], level: Float[Tensor, "rebalances paths"], summary: Tensor | None
    ) -> Conditions:
        """At times 0..horizon."""
        spot = paths.episode
        tau = torch.tensor([days * paths.dt for days in days_left], dtype=spot.dtype, device=spot.device).unsqueeze(-1)
        return cls(
            spot=spot,
            tau=tau,
            level=level,
            summary=summary,
            others=None if paths.others is None else paths.others[:, paths.lookback :],
            others_level=paths.others_implied,
            smile=paths.smile,
            rate=paths.rate,
            dividend=paths.dividend,
        )

    def at(self, times: int | slice) -> Conditions:
        """The same at some of the times."""

        def pick(values: Tensor | None) -> Tensor | None:
            return None if values is None else values[times]

        def pick_others(values: Tensor | None) -> Tensor | None:
            return None if values is None else values[:, times]

        return replace(
            self,
            spot=self.spot[times],
            tau=self.tau[times],
            level=self.level[times],
            summary=pick(self.summary),
            others=pick_others(self.others),
            others_level=pick_others(self.others_level),
        )

    def volatility(self, strike: Tensor | float) -> Tensor:
        """Annual volatility at a strike."""
        if self.smile is None:
            return self.level
        forward = self.spot * torch.exp((self.rate - self.dividend) * self.tau)
        return self.level * self.smile.ratio(torch.log(strike / forward), self.tau)
