"""What trading costs beyond a share of the value, and what a crisis costs who holds a book in it."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from praesidium.component import Component
from praesidium.markets.paths import Paths
from praesidium.markets.trailing import realized_volatility

WINDOW = 20


class Frictions(Component):
    """Costs of an environment beside the proportional one. The default has none.

    Attributes:
        quadratic: temporary impact; a trade x at price p costs quadratic p x^2.
        impact: transient impact; a trade moves its own price by this share a unit, which then reverts.
        resilience: speed of that reversion, a day; half of it is gone after log(2) / resilience days.
        fixed: fee of a trade of any size, in units of the spot at inception.
        by_day: factors on the proportional cost at times 0..horizon-1; the last one holds for the days after it.
        widening: factor by which the proportional cost has grown where realized volatility over 20 days is twice
            ``crisis_volatility``; it starts to grow there, in a straight line.
        margin: crisis-only outflow for margin, a share of the spot a day on which realized volatility over 20 days is
            above ``crisis_volatility``. It is exogenous: no position moves it.
        crisis_volatility: annualized.
        unwind: whether positions are closed at maturity at the usual costs; if not, maturity is free.

    Source: quadratic: Almgren and Chriss 2001; transient: Obizhaeva and Wang 2013.
    """

    quadratic: float = Field(default=0.0, ge=0)
    impact: float = Field(default=0.0, ge=0)
    resilience: float = Field(default=0.5, gt=0)
    fixed: float = Field(default=0.0, ge=0)
    by_day: tuple[float, ...] = ()
    widening: float = Field(default=0.0, ge=0)
    margin: float = Field(default=0.0, ge=0)
    crisis_volatility: float = Field(default=0.40, gt=0)
    unwind: bool = False

    @property
    def terms(self) -> tuple[float, ...]:
        """The numbers of a trade: quadratic, impact, what is left of it a day later, fixed, unwind."""
        return self.quadratic, self.impact, math.exp(-self.resilience), self.fixed, float(self.unwind)

    @property
    def plain(self) -> bool:
        """Whether a trade costs a share of its value and nothing else."""
        return not (self.quadratic or self.impact or self.fixed or self.unwind)

    def spread(self, paths: Paths) -> Float[Tensor, "steps paths"] | None:
        """Factor on the proportional cost at times 0..horizon-1, from prices up to then; None where it is one."""
        if not (self.by_day or self.widening):
            return None
        factor = torch.ones_like(paths.episode[:-1])
        if self.by_day:
            days = [self.by_day[min(day, len(self.by_day) - 1)] for day in range(paths.horizon)]
            factor = factor * factor.new_tensor(days).unsqueeze(-1)
        if self.widening:
            excess = (realized_volatility(paths, WINDOW) / self.crisis_volatility - 1).clamp(min=0)
            factor = factor * (1 + self.widening * excess)
        return factor

    def outflow(self, paths: Paths) -> Float[Tensor, "steps paths"] | None:
        """Margin paid at times 0..horizon-1, in money of inception; None where there is none."""
        if not self.margin:
            return None
        paid = self.margin * paths.episode[:-1] * (realized_volatility(paths, WINDOW) > self.crisis_volatility)
        return paid if paths.discount is None else paid * paths.discount[:-1]


NONE = Frictions()
