"""What was sold."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import Component
from praesidium.hedging.conditions import Conditions, Greeks
from praesidium.markets.paths import Paths


class Liability(Component):
    """A claim sold at inception and paid at maturity. All values in units of the spot at inception.

    The hooks (:meth:`summary`, :meth:`days_left`, :meth:`marks`, :meth:`owed`, :meth:`vega`) are those of a claim that
    does not look back and matures with the episode; others override them.
    """

    @abstractmethod
    def payoff(self, paths: Paths) -> Float[Tensor, " paths"]:
        """What is paid at maturity, given prices at times 0..horizon; negative where the buyer pays."""

    @abstractmethod
    def value(self, at: Conditions) -> Tensor:
        """Value under the conditions, by the Black-Scholes model; at ``tau = 0`` the payoff."""

    @abstractmethod
    def greeks(self, at: Conditions) -> Greeks:
        """Black-Scholes delta and gamma."""

    @abstractmethod
    def log_moneyness(self, spot: Tensor) -> Tensor:
        """Log of spot over strike."""

    def vega(self, at: Conditions) -> Tensor:
        """Change of the value with the volatility of the spot; by differentiation."""
        with torch.enable_grad():
            level = at.level.detach().expand_as(at.spot).clone().requires_grad_()
            value = self.value(_with_level(at, level))
            return torch.autograd.grad(value.sum(), level)[0]

    def summary(self, paths: Paths) -> Float[Tensor, "rebalances paths *parts"] | None:
        """What the claim remembers at times 0..horizon of the prices up to then; several numbers have an axis."""
        return None

    def days_left(self, horizon: int) -> list[int]:
        """Days to maturity at times 0..horizon."""
        return list(range(horizon, -1, -1))

    def conditions(self, paths: Paths, level: Float[Tensor, "rebalances paths"] | None = None) -> Conditions:
        """Conditions at times 0..horizon, at the volatility of the marks if no other is given."""
        level = paths.implied if level is None else level
        return Conditions.along(paths, self.days_left(paths.horizon), level, self.summary(paths))

    def marks(self, paths: Paths) -> Float[Tensor, "rebalances paths"]:
        """Value along the paths, in money of inception; the last one is the payoff."""
        value = self.value(self.conditions(paths))
        value = torch.cat([value[:-1], self.payoff(paths).unsqueeze(0)])
        return value if paths.discount is None else value * paths.discount

    def owed(self, paths: Paths) -> Float[Tensor, " paths"]:
        """Payoff less premium, in money of inception: the last mark less the first."""
        payoff = self.payoff(paths)
        if paths.discount is not None:
            payoff = payoff * paths.discount[-1]
        return payoff - self.value(self.conditions(paths).at(0))


def by_differentiation(liability: Liability, at: Conditions) -> Greeks:
    """Delta and gamma of a claim whose value is known: its derivatives, where it has no handier formula."""
    with torch.enable_grad():
        spot = at.spot.detach().clone().requires_grad_()
        value = liability.value(_with_spot(at, spot))
        (delta,) = torch.autograd.grad(value.sum(), spot, create_graph=True)
        if not delta.requires_grad:  # linear in the spot
            return Greeks(delta, torch.zeros_like(delta))
        (gamma,) = torch.autograd.grad(delta.sum(), spot, allow_unused=True, materialize_grads=True)
    return Greeks(delta.detach(), gamma)


def _with_level(at: Conditions, level: Tensor) -> Conditions:
    return Conditions(**{**vars(at), "level": level})


def _with_spot(at: Conditions, spot: Tensor) -> Conditions:
    return Conditions(**{**vars(at), "spot": spot})
