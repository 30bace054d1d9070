"""How a state is made of paths, and what of the training paths that takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from praesidium.component import Component, unknown
from praesidium.data.frictions import NONE, Frictions
from praesidium.data.scaling import Scaler
from praesidium.hedging.features import BY_REGIME, FEATURES, Glimpse, columns, stack
from praesidium.hedging.instruments import Instrument, contracts_of, kept_of, spot_gains
from praesidium.hedging.liability import Liability
from praesidium.hedging.limits import Limits
from praesidium.hedging.regime_view import RegimeView
from praesidium.hedging.state import KEPT, Claim, State
from praesidium.hedging.volatility import Forecast, GreekVolatility, Parameters
from praesidium.markets.paths import Paths, Smile

LEAST_SPREAD = 0.1  # of the inventory: the delta of a claim that is rolled hardly moves, but positions may


class StateSettings(Component):
    """Which features a policy sees.

    Attributes:
        phi: structural features, in the split encoder the ones that the decision rests on.
        context: regime features, which may only modulate there; there need not be any.
        volatility: volatility behind the Greeks.
        greeks: whether there are any. Without a model delta and gamma are zero, and time is saved: for networks with
            free output that see no Greeks.
        revalue: whether rules may value the claim at another volatility than that of the Greeks: Leland's, or a smile.
        clip: bound of standardized features, in training deviations.
        regimes: what is known of the regime, for features and rules that look at it, and for ``train.labels=regimes``.
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
    revalue: bool = False
    clip: float = Field(default=8.0, gt=0)
    regimes: RegimeView | None = None

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
        if self.revalue and not self.greeks:
            raise ValueError("revalue=true needs greeks=true")
        return self

    @model_validator(mode="after")
    def _regimes_are_seen(self) -> StateSettings:
        wanted = BY_REGIME & {*self.phi, *self.context}
        if wanted and self.regimes is None:
            raise ValueError(
                f"the features {', '.join(sorted(wanted))} need a view of the regime; say state.regimes.n_regimes=3"
            )
        return self

    @property
    def phi_columns(self) -> tuple[str, ...]:
        """Names of the columns of the structural features."""
        return columns(self.phi, self._count)

    @property
    def context_columns(self) -> tuple[str, ...]:
        """Names of the columns of the regime features."""
        return columns(self.context, self._count)

    @property
    def _count(self) -> int:
        return 0 if self.regimes is None else self.regimes.n_regimes

    def fit(
        self,
        training: Sequence[Paths],
        liability: Liability,
        instruments: tuple[Instrument, ...] = (),
        limits: Limits | None = None,
    ) -> StateBuilder:
        """Learn volatility parameters and scales from the training paths, and from nothing else."""
        parameters = self.volatility.calibrate(training)
        seen = {} if self.regimes is None else self.regimes.fit(training)
        glimpses = [glimpse_of(paths, liability, instruments, self, parameters, seen) for paths in training]
        return StateBuilder(
            settings=self,
            liability=liability,
            parameters=parameters,
            phi=Scaler.fit([stack(self.phi, one) for one in glimpses], clip=self.clip),
            context=Scaler.fit([stack(self.context, one) for one in glimpses], clip=self.clip),
            inventory=_at_least(
                LEAST_SPREAD, Scaler.fit([one.delta.unsqueeze(-1) for one in glimpses], clip=self.clip)
            ),
            instruments=instruments,
            limits=limits,
            regimes=seen,
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
    instruments: tuple[Instrument, ...] = ()
    limits: Limits | None = None
    regimes: Mapping[str, Any] = field(default_factory=dict)

    def build(
        self, paths: Paths, cost_rate: float, environment: int | None = None, *, frictions: Frictions = NONE
    ) -> State:
        """The state along the paths, which trade at this cost."""
        glimpse = self._glimpse(paths)
        phi = self.phi(stack(self.settings.phi, glimpse))
        parts = {"spot": glimpse.spot, "delta": glimpse.delta, "gamma": glimpse.gamma, "tau": glimpse.tau}
        parts["features"] = phi
        spread, discount = frictions.spread(paths), paths.discount
        parts |= {} if spread is None else {"spread": spread}
        parts |= {} if discount is None else {"discount": discount[:-1]}
        parts |= {} if glimpse.regimes is None else {"regimes": glimpse.regimes}
        parts |= self._beside(glimpse)
        if self.settings.context:
            context = self.context(stack(self.settings.context, glimpse))
            parts["features"] = torch.cat([phi, context], dim=-1)
        parts["cost_rate"] = phi.new_full((phi.shape[1],), cost_rate)
        return self.assemble(parts, environment, claim=self.claim(paths.dt, paths.smile, paths.rate, paths.dividend))

    def assemble(
        self, parts: Mapping[str, Tensor], environment: int | None = None, *, claim: Claim | None = None
    ) -> State:
        """The state from its tensors, such as were kept of one that was built."""
        count, device = parts["spot"].shape[1], parts["spot"].device
        return State(
            **{name: parts[name] for name in KEPT if name in parts},
            structural=len(self.settings.phi_columns),
            inventory=(self.inventory.mean[0], self.inventory.deviation[0]),
            environment=None if environment is None else torch.full((count,), environment, device=device),
            limits=self.limits,
            claim=claim,
            chain=self._chain(parts["spot"]),
        )

    def _chain(self, like: Tensor) -> Tensor | None:
        view = self.settings.regimes
        return None if view is None else view.transition(self.regimes).to(like)

    def clipped_share(self, paths: Paths) -> float:
        """Share of the context features on these paths that the clip cuts off."""
        glimpse = self._glimpse(paths)
        return self.context.clipped_share(stack(self.settings.context, glimpse))

    def learned(self) -> dict[str, Any]:
        """What was learned, as plain data; :meth:`restore` is its inverse."""
        scalers = {name: vars(getattr(self, name)) for name in ("phi", "context", "inventory")}
        seen = {"regimes": dict(self.regimes)} if self.regimes else {}
        return {"parameters": self.parameters, **scalers, **seen}

    @classmethod
    def restore(
        cls,
        settings: StateSettings,
        liability: Liability,
        learned: dict[str, Any],
        instruments: tuple[Instrument, ...] = (),
        limits: Limits | None = None,
    ) -> StateBuilder:
        """A builder from settings and :meth:`learned` data."""
        scalers = {
            name: Scaler(tuple(learned[name]["mean"]), tuple(learned[name]["deviation"]), learned[name]["clip"])
            for name in ("phi", "context", "inventory")
        }
        return cls(
            settings=settings,
            liability=liability,
            parameters=learned["parameters"],
            **scalers,
            instruments=instruments,
            limits=limits,
            regimes=learned.get("regimes", {}),
        )

    def claim(self, dt: float, smile: Smile | None, rate: float, dividend: float) -> Claim | None:
        """The liability in a market, if rules may value it anew."""
        return Claim(self.liability, dt, smile, rate, dividend) if self.settings.revalue else None

    def _glimpse(self, paths: Paths) -> Glimpse:
        return glimpse_of(paths, self.liability, self.instruments, self.settings, self.parameters, self.regimes)

    def _beside(self, glimpse: Glimpse) -> dict[str, Tensor]:
        """What there is only with several instruments, or if the claim may be valued anew."""
        contracts, parts = glimpse.contracts, {}
        if glimpse.vega is not None:
            parts["vega"] = glimpse.vega
        if self.settings.revalue:
            parts["volatility"] = glimpse.volatility
            summary = self.liability.summary(glimpse.paths)
            parts |= {} if summary is None else {"summary": summary[:-1]}
        if glimpse.textbook is None:
            return parts
        own, _ = spot_gains(glimpse.paths.episode, glimpse.paths.discount, 1.0)
        hedges = [torch.stack([one.delta, one.gamma, one.vega], dim=-1) for one in contracts]
        return parts | {
            "anchor": glimpse.textbook,
            "prices": torch.stack([own, *(one.price for one in contracts)], dim=-1),
            "hedges": torch.stack(hedges, dim=-2),
            "kept": kept_of(contracts),
        }


def _at_least(least: float, scaler: Scaler) -> Scaler:
    return replace(scaler, deviation=tuple(max(one, least) for one in scaler.deviation))


def glimpse_of(
    paths: Paths,
    liability: Liability,
    instruments: tuple[Instrument, ...],
    settings: StateSettings,
    parameters: Parameters,
    seen: Mapping[str, Any],
) -> Glimpse:
    """What can be seen of the paths at times 0..horizon-1."""
    regimes = None if settings.regimes is None else settings.regimes.probabilities(paths, seen)
    spot = paths.episode[:-1]
    tau = torch.tensor(liability.days_left(paths.horizon)[:-1], dtype=spot.dtype, device=spot.device)
    tau = tau.unsqueeze(-1) * paths.dt
    volatility = settings.volatility.estimate(paths, parameters)
    none = spot.new_zeros(()).expand_as(spot)
    if not settings.greeks:
        return Glimpse(paths, liability, tau, volatility, none, none, regimes=regimes)
    level = torch.cat([volatility, volatility[-1:]])  # the last time is cut off
    at = replace(liability.conditions(paths, level).at(slice(None, -1)), tau=tau)
    greeks = liability.greeks(at)
    own = Glimpse(paths, liability, tau, volatility, greeks.delta, greeks.gamma, regimes=regimes)
    if instruments or settings.revalue:
        own = replace(own, vega=liability.vega(at))
    if not instruments:
        return own
    return replace(
        own,
        contracts=contracts_of(paths, instruments),
        textbook=torch.stack([greeks.delta, *(one.textbook(greeks) for one in instruments)], dim=-1),
    )
