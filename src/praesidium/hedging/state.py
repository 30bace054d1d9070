"""State: everything that a policy may look at, for all times at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError
from praesidium.hedging.conditions import Conditions, Greeks
from praesidium.hedging.liability import Liability
from praesidium.hedging.limits import Limits
from praesidium.markets.paths import Smile

ALWAYS = ("spot", "delta", "gamma", "features")
# Where there are several instruments, a moving spread, rules that value the claim anew, or a view of the regime.
SOMETIMES = ("anchor", "prices", "hedges", "vega", "spread", "volatility", "summary", "regimes")
BY_DAY_AND_PATH = (*ALWAYS, *SOMETIMES)
BY_DAY = ("tau", "kept", "discount")
KEPT = (*BY_DAY_AND_PATH, *BY_DAY, "cost_rate")  # all tensors of a state


@dataclass(frozen=True)
class Claim:
    """The liability in its market, for rules that value it anew.

    Attributes:
        liability: what was sold.
        dt: years between two times.
        smile, rate, dividend: of the market.
    """

    liability: Liability
    dt: float
    smile: Smile | None
    rate: float
    dividend: float


@dataclass(frozen=True)
class State:
    """Features at times 0..horizon-1. The position held before t, the inventory, joins during the rollout.

    Attributes:
        spot: price at inception units.
        delta, gamma: Greeks of the liability.
        tau: years to maturity.
        cost_rate: proportional cost that the trader faces.
        features: standardized; the structural ones (phi: Greeks, time, moneyness) before those of the regime (context:
            path statistics).
        structural: number of the structural features.
        inventory: mean and deviation that standardize the inventory: those of delta in training.
        environment: number of the training environment of each path, for the ablation with a head for each; None
            outside training. No other policy reads it.
        anchor: the textbook hedge in all instruments, the spot first; None where the spot is the only one.
        prices: of a unit of each instrument, in money of inception; None likewise.
        hedges: delta, gamma and vega of a unit of each instrument beside the spot; None likewise.
        vega: of the liability; None likewise, unless the claim may be valued anew.
        spread: factor on the proportional cost; None where it is one everywhere.
        kept: zero where what was held before of an instrument has expired, else one; None where the spot is the only.
        discount: worth at inception of money at each time; None without interest.
        limits: bounds that every position keeps.
        volatility, summary, claim: what it takes to value the claim at another volatility; None where nobody asks.
        regimes: filtered probability of each regime, the calmest first; None without a view of the regime.
        chain: probabilities of the next regime, a row for each now; None likewise.
    """

    spot: Float[Tensor, "steps *replicas paths"]
    delta: Float[Tensor, "steps *replicas paths"]
    gamma: Float[Tensor, "steps *replicas paths"]
    tau: Float[Tensor, "steps *one"]
    cost_rate: Float[Tensor, "*replicas paths"]
    features: Float[Tensor, "steps *replicas paths features"]
    structural: int
    inventory: tuple[float, float]
    environment: Tensor | None = None
    anchor: Float[Tensor, "steps *replicas paths instruments"] | None = None
    prices: Float[Tensor, "steps *replicas paths instruments"] | None = None
    hedges: Float[Tensor, "steps *replicas paths beside greeks"] | None = None
    vega: Float[Tensor, "steps *replicas paths"] | None = None
    spread: Float[Tensor, "steps *replicas paths"] | None = None
    kept: Float[Tensor, "steps instruments"] | None = None
    discount: Float[Tensor, "steps *one"] | None = None
    limits: Limits | None = None
    volatility: Float[Tensor, "steps *replicas paths"] | None = None
    summary: Tensor | None = None
    claim: Claim | None = None
    regimes: Float[Tensor, "steps *replicas paths regimes"] | None = None
    chain: Float[Tensor, "regimes regimes"] | None = None

    @property
    def hedge(self) -> Float[Tensor, "steps *replicas paths *instruments"]:
        """The textbook hedge: delta in the spot; with several instruments, what they need beside it."""
        return self.delta if self.anchor is None else self.anchor

    @property
    def current_rate(self) -> Tensor:
        """Proportional cost of a trade in the spot, today where the spread moves."""
        return self.cost_rate if self.spread is None else self.cost_rate * self.spread

    def book(self, positions: Float[Tensor, "steps *replicas paths"]) -> Tensor:
        """Positions in the spot as a book of all instruments, with the anchor's in the others."""
        if self.anchor is None:
            return positions
        return torch.cat([positions.unsqueeze(-1), self.anchor[..., 1:]], dim=-1)

    @property
    def valued(self) -> tuple[Claim, Float[Tensor, "steps *replicas paths"]]:
        """The claim and the volatility behind its Greeks.

        Raises:
            InputError: if the state does not keep them.
        """
        if self.claim is None or self.volatility is None:
            raise InputError("state.revalue: false, but this policy values the claim anew; say state.revalue=true")
        return self.claim, self.volatility

    def greeks(self, volatility: Float[Tensor, "steps *replicas paths"]) -> Greeks:
        """Delta and gamma of the claim at another volatility."""
        claim, _ = self.valued
        at = Conditions(
            spot=self.spot,
            tau=self.tau,
            level=volatility,
            summary=self.summary,
            smile=claim.smile,
            rate=claim.rate,
            dividend=claim.dividend,
        )
        return claim.liability.greeks(at)

    def within(self, wanted: Tensor) -> Tensor:
        """The positions nearest to those wanted that keep the limits, day after day."""
        return wanted if self.limits is None else self.limits.hold(wanted, self.kept)

    @property
    def phi(self) -> Float[Tensor, "steps *replicas paths phi"]:
        """The structural features."""
        return self.features[..., : self.structural]

    @property
    def context(self) -> Float[Tensor, "steps *replicas paths context"]:
        """The features of the regime."""
        return self.features[..., self.structural :]

    def seeing(self, features: Float[Tensor, "steps *replicas paths features"]) -> State:
        """The state with other features in their place."""
        return replace(self, features=features)

    def take(self, paths: Tensor | slice) -> State:
        """The state on the chosen paths."""
        picked = {name: choose(one, paths) for name, one in self._there(BY_DAY_AND_PATH)}
        environment = None if self.environment is None else self.environment[paths]
        return replace(self, **picked, cost_rate=self.cost_rate[paths], environment=environment)

    def replicas(self, count: int) -> State:
        """The same paths as those of ``count`` replicas, which come one after the other."""
        split = {name: one.unflatten(1, (count, -1)) for name, one in self._there(BY_DAY_AND_PATH)}
        days = {name: one.unsqueeze(-1) for name, one in self._there(("tau", "discount"))}
        environment = None if self.environment is None else self.environment.view(count, -1)
        return replace(self, **split, **days, cost_rate=self.cost_rate.view(count, -1), environment=environment)

    def days(self, days: slice) -> State:
        """The state on the chosen days."""
        return replace(self, **{name: one[days] for name, one in self._there((*BY_DAY_AND_PATH, *BY_DAY))})

    @classmethod
    def join(cls, states: Sequence[State]) -> State:
        """One state with the paths of all, in their order; labelled only if all are."""
        joined = {name: torch.cat([getattr(one, name) for one in states], dim=1) for name in ALWAYS}
        for name in SOMETIMES:
            parts = [getattr(one, name) for one in states]
            if any(one is not None for one in parts):  # only spreads may be missing in some
                filled = [
                    torch.ones_like(one.spot) if part is None else part for one, part in zip(states, parts, strict=True)
                ]
                joined[name] = torch.cat(filled, dim=1)
        labels = [one.environment for one in states if one.environment is not None]
        return replace(
            states[0],
            **joined,
            cost_rate=torch.cat([one.cost_rate for one in states]),
            environment=torch.cat(labels) if len(labels) == len(states) else None,
        )

    def _there(self, names: tuple[str, ...]) -> list[tuple[str, Tensor]]:
        return [(name, one) for name in names if (one := getattr(self, name)) is not None]


def choose(values: Float[Tensor, "times paths *rest"], paths: Tensor | slice) -> Float[Tensor, "times chosen *rest"]:
    """Values on the chosen paths: a view for a slice."""
    return values[:, paths] if isinstance(paths, slice) else values.index_select(1, paths)
