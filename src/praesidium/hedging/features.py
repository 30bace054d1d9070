"""What a policy may know at time t, each feature by its name.

A feature is a function of a :class:`Glimpse`; ``@feature`` adds it to the table under its own name. All of them use
prices up to t alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.hedging.instruments import Contract
from praesidium.hedging.liability import Liability
from praesidium.markets.paths import Paths
from praesidium.markets.trailing import log_returns, realized_volatility, trailing

WINDOW = 20


@dataclass(frozen=True)
class Glimpse:
    """The paths and the Greeks of the liability on them, at times 0..horizon-1.

    With several instruments also the vega of the liability, the contracts beside the spot, and the textbook hedge; with
    a view of the regime, its filtered probabilities.
    """

    paths: Paths
    liability: Liability
    tau: Float[Tensor, "steps 1"]
    volatility: Float[Tensor, "steps paths"]
    delta: Float[Tensor, "steps paths"]
    gamma: Float[Tensor, "steps paths"]
    vega: Float[Tensor, "steps paths"] | None = None
    contracts: list[Contract] = field(default_factory=list)
    textbook: Float[Tensor, "steps paths instruments"] | None = None
    regimes: Float[Tensor, "steps paths regimes"] | None = None

    @property
    def spot(self) -> Float[Tensor, "steps paths"]:
        """Spot at times 0..horizon-1."""
        return self.paths.episode[:-1]


Feature = Callable[[Glimpse], Float[Tensor, "steps paths *columns"]]
FEATURES: dict[str, Feature] = {}
BY_REGIME: set[str] = set()  # names of features that have a column for each regime


def feature(function: Feature) -> Feature:
    """Register a feature under the name of its function."""
    FEATURES[function.__name__] = function
    return function


def by_regime(function: Feature) -> Feature:
    """Register a feature that has a column for each regime; it needs ``state.regimes``."""
    BY_REGIME.add(function.__name__)
    return feature(function)


@feature
def delta(glimpse: Glimpse) -> Tensor:
    """Black-Scholes delta of the liability."""
    return glimpse.delta


@feature
def gamma_scaled(glimpse: Glimpse) -> Tensor:
    """S gamma sigma sqrt(tau): the density of the standardized log price at the strike, free of units."""
    return glimpse.spot * glimpse.gamma * glimpse.volatility * glimpse.tau.sqrt()


@feature
def time_to_maturity(glimpse: Glimpse) -> Tensor:
    """Years to maturity."""
    return glimpse.tau.expand_as(glimpse.spot)


@feature
def log_moneyness(glimpse: Glimpse) -> Tensor:
    """Log of spot over strike."""
    return glimpse.liability.log_moneyness(glimpse.spot)


@feature
def volatility(glimpse: Glimpse) -> Tensor:
    """Annualized volatility behind the Greeks."""
    return glimpse.volatility


@feature
def previous_return(glimpse: Glimpse) -> Tensor:
    """Log return of the last day."""
    return trailing(log_returns(glimpse.paths), glimpse.paths, 1).squeeze(-1)


@feature
def realized_volatility_20(glimpse: Glimpse) -> Tensor:
    """Annualized root mean square of the last 20 log returns."""
    return realized_volatility(glimpse.paths, WINDOW)


@feature
def drawdown_20(glimpse: Glimpse) -> Tensor:
    """Spot over its maximum of the last 20 days, less one."""
    highest = trailing(glimpse.paths.spot[1:], glimpse.paths, WINDOW).amax(-1)
    return glimpse.spot / highest - 1


@feature
def momentum_20(glimpse: Glimpse) -> Tensor:
    """Log return of the last 20 days."""
    return trailing(log_returns(glimpse.paths), glimpse.paths, WINDOW).sum(-1)


@feature
def cvar_20(glimpse: Glimpse) -> Tensor:
    """CVaR-95 of the last 20 daily losses: 5 % of 20 days is the worst one."""
    return -trailing(log_returns(glimpse.paths), glimpse.paths, WINDOW).amin(-1)


@by_regime
def regime_probabilities(glimpse: Glimpse) -> Tensor:
    """Filtered probability of each regime."""
    assert glimpse.regimes is not None
    return glimpse.regimes


def stack(names: tuple[str, ...], glimpse: Glimpse) -> Float[Tensor, "steps paths features"]:
    """The named features side by side."""
    if not names:
        return glimpse.spot.new_empty(*glimpse.spot.shape, 0)
    columns = [FEATURES[name](glimpse) for name in names]
    return torch.cat([one if one.ndim == 3 else one.unsqueeze(-1) for one in columns], dim=-1)


def columns(names: tuple[str, ...], regimes: int) -> tuple[str, ...]:
    """Names of the columns that the features have together, given the number of regimes."""
    wide = {name: tuple(f"{name}_{number}" for number in range(regimes)) for name in names if name in BY_REGIME}
    return tuple(column for name in names for column in wide.get(name, (name,)))
