"""State: everything that a policy may look at, for all times at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from praesidium.component import Component, unknown
from praesidium.data.scaling import Scaler
from praesidium.hedging.features import FEATURES, Glimpse, stack
from praesidium.hedging.liability import Liability
from praesidium.hedging.volatility import Forecast, GreekVolatility, Parameters
from praesidium.markets.paths import Paths

BY_DAY_AND_PATH = ("spot", "delta", "gamma", "features")
KEPT = (*BY_DAY_AND_PATH, "tau", "cost_rate")  # all tensors of a state


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
        picked = {name: choose(getattr(self, name), paths) for name in BY_DAY_AND_PATH}
        environment = None if self.environment is None else self.environment[paths]
        return replace(self, **picked, cost_rate=self.cost_rate[paths], environment=environment)

    def replicas(self, count: int) -> State:
        """The same paths as those of ``count`` replicas, which come one after the other."""
        split = {name: getattr(self, name).unflatten(1, (count, -1)) for name in BY_DAY_AND_PATH}
        environment = None if self.environment is None else self.environment.view(count, -1)
        tau, rate = self.tau.unsqueeze(-1), self.cost_rate.view(count, -1)
        return replace(self, **split, tau=tau, cost_rate=rate, environment=environment)

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


def choose(values: Float[Tensor, "times paths *rest"], paths: Tensor | slice) -> Float[Tensor, "times chosen *rest"]:
    """Values on the chosen paths: a view for a slice."""
    return values[:, paths] if isinstance(paths, slice) else values.index_select(1, paths)


class StateSettings(Component):
    """Which features a policy sees.

    Attributes:
        phi: structural features, in the split encoder the ones that the decision rests on.
        context: regime features, which may only modulate there; there need not be any.
        volatility: volatility behind the Greeks.
        greeks: whether there are any. Without a model delta and gamma are zero, and time is saved: for networks with
            free output that see no Greeks.
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
    greeks: bool = True
    clip: float = Field(default=8.0, gt=0)

    @field_validator("phi", "context")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in FEATURES:
                raise ValueError(unknown("feature", name, FEATURES))
        return names

    @field_validator("phi")
    @classmethod
    def _some(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names:
            raise ValueError("at least one feature is needed")
        return names

    @model_validator(mode="after")
    def _no_greeks_without_a_model(self) -> StateSettings:
        shown = {"delta", "gamma_scaled"} & {*self.phi, *self.context}
        if shown and not self.greeks:
            raise ValueError(f"the features {', '.join(sorted(shown))} need greeks=true")
        return self

    def fit(self, training: Sequence[Paths], liability: Liability) -> StateBuilder:
        """Learn volatility parameters and scales from the training paths, and from nothing else."""
        parameters = self.volatility.calibrate(training)
        glimpses = [_glimpse(paths, liability, self, parameters) for paths in training]
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
        glimpse = _glimpse(paths, self.liability, self.settings, self.parameters)
        phi = self.phi(stack(self.settings.phi, glimpse))
        parts = {"spot": glimpse.spot, "delta": glimpse.delta, "gamma": glimpse.gamma, "tau": glimpse.tau}
        parts["features"] = phi
        if self.settings.context:
            context = self.context(stack(self.settings.context, glimpse))
            parts["features"] = torch.cat([phi, context], dim=-1)
        parts["cost_rate"] = phi.new_full((phi.shape[1],), cost_rate)
        return self.assemble(parts, environment)

    def assemble(self, parts: Mapping[str, Tensor], environment: int | None = None) -> State:
        """The state from its tensors, such as were kept of one that was built."""
        count, device = parts["spot"].shape[1], parts["spot"].device
        return State(
            **{name: parts[name] for name in KEPT},
            structural=len(self.settings.phi),
            inventory=(self.inventory.mean[0], self.inventory.deviation[0]),
            environment=None if environment is None else torch.full((count,), environment, device=device),
        )

    def clipped_share(self, paths: Paths) -> float:
        """Share of the context features on these paths that the clip cuts off."""
        glimpse = _glimpse(paths, self.liability, self.settings, self.parameters)
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


def _glimpse(paths: Paths, liability: Liability, settings: StateSettings, parameters: Parameters) -> Glimpse:
    spot = paths.episode[:-1]
    tau = torch.arange(paths.horizon, 0, -1, dtype=spot.dtype, device=spot.device).unsqueeze(-1) * paths.dt
    volatility = settings.volatility.estimate(paths, parameters)
    none = spot.new_zeros(()).expand_as(spot)
    delta, gamma = liability.greeks(spot, tau, volatility) if settings.greeks else (none, none)
    return Glimpse(paths, liability, tau, volatility, delta, gamma)
