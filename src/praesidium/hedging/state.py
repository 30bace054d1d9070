"""State: everything that a policy may look at, for all times at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor

from praesidium.component import Component, unknown
from praesidium.data.scaling import Scaler
from praesidium.hedging.features import FEATURES, Glimpse, stack
from praesidium.hedging.liability import Liability
from praesidium.hedging.volatility import Forecast, GreekVolatility, Parameters
from praesidium.markets.paths import Paths

BY_DAY_AND_PATH = ("spot", "delta", "gamma", "phi", "context")


@dataclass(frozen=True)
class State:
    """Features at times 0..horizon-1. The position held before t, the inventory, joins during the rollout.

    Attributes:
        spot: price at inception units.
        delta, gamma: Greeks of the liability.
        tau: years to maturity.
        cost_rate: proportional cost that the trader faces.
        phi: structural features, standardized: Greeks, time, moneyness.
        context: path statistics of the regime, standardized.
        inventory: mean and deviation that standardize the inventory: those of delta in training.
        environment: number of the training environment of each path, for the ablation with a head for each; None
            outside training. No other policy reads it.
    """

    spot: Float[Tensor, "steps paths"]
    delta: Float[Tensor, "steps paths"]
    gamma: Float[Tensor, "steps paths"]
    tau: Float[Tensor, "steps 1"]
    cost_rate: Float[Tensor, " paths"]
    phi: Float[Tensor, "steps paths phi"]
    context: Float[Tensor, "steps paths context"]
    inventory: tuple[float, float]
    environment: Tensor | None = None

    def take(self, paths: Tensor | slice) -> State:
        """The state on the chosen paths."""
        picked = {name: getattr(self, name)[:, paths] for name in BY_DAY_AND_PATH}
        environment = None if self.environment is None else self.environment[paths]
        return replace(self, **picked, cost_rate=self.cost_rate[paths], environment=environment)

    def days(self, days: slice) -> State:
        """The state on the chosen days."""
        return replace(self, **{name: getattr(self, name)[days] for name in (*BY_DAY_AND_PATH, "tau")})

    @classmethod
    def join(cls, states: Sequence[State]) -> State:
        """One state with the paths of all, in their order; labelled only if all are."""
        joined = {name: torch.cat([getattr(one, name) for one in states], dim=1) for name in BY_DAY_AND_PATH}
        labels = [one.environment for one in states if one.environment is not None]
        return replace(
            states[0],
            **joined,
            cost_rate=torch.cat([one.cost_rate for one in states]),
            environment=torch.cat(labels) if len(labels) == len(states) else None,
        )


class StateSettings(Component):
    """Which features a policy sees.

    Attributes:
        phi: structural features, in the split encoder the ones that the decision rests on.
        context: regime features, which may only modulate there.
        volatility: volatility behind the Greeks.
        clip: bound of standardized features, in training deviations.
    """

    phi: tuple[str, ...] = ("delta", "gamma_scaled", "time_to_maturity", "log_moneyness")
    context: tuple[str, ...] = (
        "previous_return",
        "realized_volatility_20",
        "drawdown_20",
        "momentum_20",
        "cvar_20",
    )
    volatility: GreekVolatility = Forecast()
    clip: float = Field(default=8.0, gt=0)

    @field_validator("phi", "context")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names:
            raise ValueError("at least one feature is needed")
        for name in names:
            if name not in FEATURES:
                raise ValueError(unknown("feature", name, FEATURES))
        return names

    def fit(self, training: Sequence[Paths], liability: Liability) -> StateBuilder:
        """Learn volatility parameters and scales from the training paths, and from nothing else."""
        parameters = self.volatility.calibrate(training)
        glimpses = [_glimpse(paths, liability, self.volatility, parameters) for paths in training]
        return StateBuilder(
            settings=self,
            liability=liability,
            parameters=parameters,
            phi=Scaler.fit([stack(self.phi, one) for one in glimpses], clip=self.clip),
            context=Scaler.fit([stack(self.context, one) for one in glimpses], clip=self.clip),
            inventory=Scaler.fit([one.delta.unsqueeze(-1) for one in glimpses], clip=self.clip),
        )


@dataclass(frozen=True)
class StateBuilder:
    """Turns paths into states with what was learned from the training paths."""

    settings: StateSettings
    liability: Liability
    parameters: Parameters
    phi: Scaler
    context: Scaler
    inventory: Scaler

    def build(self, paths: Paths, cost_rate: float, environment: int | None = None) -> State:
        """The state along the paths, which trade at this cost."""
        glimpse = _glimpse(paths, self.liability, self.settings.volatility, self.parameters)
        label = None if environment is None else torch.full((paths.count,), environment, device=paths.spot.device)
        return State(
            spot=glimpse.spot,
            delta=glimpse.delta,
            gamma=glimpse.gamma,
            tau=glimpse.tau,
            cost_rate=glimpse.spot.new_full((paths.count,), cost_rate),
            phi=self.phi(stack(self.settings.phi, glimpse)),
            context=self.context(stack(self.settings.context, glimpse)),
            inventory=(self.inventory.mean[0], self.inventory.deviation[0]),
            environment=label,
        )

    def clipped_share(self, paths: Paths) -> float:
        """Share of the context features on these paths that the clip cuts off."""
        glimpse = _glimpse(paths, self.liability, self.settings.volatility, self.parameters)
        return self.context.clipped_share(stack(self.settings.context, glimpse))

    def learned(self) -> dict[str, Any]:
        """What was learned, as plain data; :meth:`restore` is its inverse."""
        scalers = {name: vars(getattr(self, name)) for name in ("phi", "context", "inventory")}
        return {"parameters": self.parameters, **scalers}

    @classmethod
    def restore(cls, settings: StateSettings, liability: Liability, learned: dict[str, Any]) -> StateBuilder:
        """A builder from settings and :meth:`learned` data."""
        scalers = {
            name: Scaler(tuple(learned[name]["mean"]), tuple(learned[name]["deviation"]), learned[name]["clip"])
            for name in ("phi", "context", "inventory")
        }
        return cls(settings=settings, liability=liability, parameters=learned["parameters"], **scalers)


def _glimpse(paths: Paths, liability: Liability, estimator: GreekVolatility, parameters: Parameters) -> Glimpse:
    spot = paths.episode[:-1]
    tau = torch.arange(paths.horizon, 0, -1, dtype=spot.dtype, device=spot.device).unsqueeze(-1) * paths.dt
    volatility = estimator.estimate(paths, parameters)
    delta, gamma = liability.greeks(spot, tau, volatility)
    return Glimpse(paths, liability, tau, volatility, delta, gamma)
