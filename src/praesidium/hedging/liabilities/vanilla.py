"""Claims of one strike that pay by the last price alone, held to maturity or rolled every day."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from praesidium.hedging.conditions import Conditions, Greeks
from praesidium.hedging.liability import Liability
from praesidium.markets.paths import Paths


class Vanilla(Liability):
    """A claim f(S_T, K).

    Attributes:
        strike: in units of the spot at inception; 1 is at the money.
        mode: ``fixed_strike`` runs to maturity. ``constant_maturity_roll`` is bought back and sold anew every day, with
            the whole time left and the strike at ``strike`` times the spot of that day, marked at each end of the day:
            every day carries a profit from the change of volatility, and there is no payoff to telescope to.
    """

    strike: float = Field(default=1.0, gt=0)
    mode: Literal["fixed_strike", "constant_maturity_roll"] = "fixed_strike"

    @abstractmethod
    def worth(self, at: Conditions, strike: Tensor | float) -> Tensor:
        """Value at this strike."""

    @abstractmethod
    def sensitivities(self, at: Conditions, strike: Tensor | float) -> Greeks:
        """Delta and gamma at this strike."""

    @abstractmethod
    def paid(self, spot: Float[Tensor, " paths"], strike: Tensor | float) -> Float[Tensor, " paths"]:
        """Payoff at a last price."""

    @final
    def payoff(self, paths: Paths) -> Float[Tensor, " paths"]:
        if not self._rolled:
            return self.paid(paths.episode[-1], self.strike)
        discount = paths.discount
        return self.marks(paths)[-1] / (1.0 if discount is None else discount[-1])

    @final
    def value(self, at: Conditions) -> Tensor:
        return self.worth(at, self._strike(at))

    @final
    def greeks(self, at: Conditions) -> Greeks:
        return self.sensitivities(at, self._strike(at))

    @final
    def log_moneyness(self, spot: Tensor) -> Tensor:
        return torch.full_like(spot, self.strike).log_().neg_() if self._rolled else torch.log(spot / self.strike)

    @final
    def days_left(self, horizon: int) -> list[int]:
        return [horizon] * (horizon + 1) if self._rolled else super().days_left(horizon)

    @final
    def marks(self, paths: Paths) -> Float[Tensor, "rebalances paths"]:
        """Of a rolled claim: the first premium and what all buying back and selling anew has cost since."""
        if not self._rolled:
            return super().marks(paths)
        at = self.conditions(paths)
        sold = self.value(at)
        strikes = self._strike(at.at(slice(None, -1)))
        later = at.at(slice(1, None))
        aged = Conditions(**{**vars(later), "tau": later.tau - paths.dt})
        bought = self.worth(aged, strikes)
        if paths.discount is not None:
            sold, bought = sold * paths.discount, bought * paths.discount[1:]
        return torch.cat([sold[:1], sold[0] + (bought - sold[:-1]).cumsum(0)])

    @final
    def owed(self, paths: Paths) -> Float[Tensor, " paths"]:
        if not self._rolled:
            return super().owed(paths)
        marks = self.marks(paths)
        return marks[-1] - marks[0]

    @property
    def _rolled(self) -> bool:
        return self.mode == "constant_maturity_roll"

    def _strike(self, at: Conditions) -> Tensor | float:
        return self.strike * at.spot.detach() if self._rolled else self.strike
