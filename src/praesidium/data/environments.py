"""Data sets: named environments from which episodes are drawn, and the part that each plays."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from pydantic import Field, PositiveInt, model_validator

from praesidium.component import Component, unknown
from praesidium.data.frictions import NONE, Frictions
from praesidium.data.windows import WindowEpisodes
from praesidium.markets.paths import Paths, Smile


@runtime_checkable
class Simulator(Protocol):
    """What episodes are drawn from: a market, or a filtered history."""

    def simulate(
        self, *, paths: int, horizon: int, lookback: int, generator: torch.Generator, left: Sequence[Sequence[int]] = ()
    ) -> Paths:
        """As :meth:`praesidium.markets.market.Market.simulate`."""
        ...


@dataclass(frozen=True)
class Source:
    """A data set that was opened: prices read, variances fitted.

    Attributes:
        simulators: one for each environment.
        windows: real episodes by calendar window, where the data set has any.
        window_cost_rate: proportional cost of trading in them.
        window_frictions: what else is charged in them.
        smile: volatility at other strikes, the same in all paths; without one it is the same for all strikes.
        report: what was fitted and what is missing, as plain data for the record.
    """

    simulators: Mapping[str, Simulator]
    windows: Mapping[str, WindowEpisodes] = field(default_factory=dict)
    window_cost_rate: float = 0.0
    window_frictions: Frictions = NONE
    smile: Smile | None = None
    report: Mapping[str, Any] = field(default_factory=dict)


class Environment(Component):
    """A labelled group of paths; the policy never sees the label.

    Attributes:
        cost_rate: proportional cost of trading there.
        frictions: what else is charged.
    """

    cost_rate: float = Field(ge=0, lt=1)
    frictions: Frictions = NONE


class DataSet(Component):
    """Environments by name, and which of them train, validate and test.

    Attributes:
        horizon: trading days from inception to maturity.
        lookback: trading days of history before it.
        train: environments that policies are trained on.
        validation: environments that checkpoints are chosen on.
        test: held-out environments.
        oracle: whether environments may be trained on that are judged, for an upper bound: what a policy could do that
            has seen the crisis. Never a competitor.
        rate, dividend: interest and dividend yield, continuous, a year. Simulated prices drift by their difference.
    """

    horizon: PositiveInt = 60
    lookback: int = Field(default=20, ge=20)
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    oracle: bool = False
    rate: float = Field(default=0.0, gt=-0.5, lt=0.5)
    dividend: float = Field(default=0.0, gt=-0.5, lt=0.5)

    @property
    def names(self) -> tuple[str, ...]:
        """Every environment that plays a part, each once."""
        return tuple(dict.fromkeys((*self.train, *self.validation, *self.test)))

    @property
    @abstractmethod
    def settings_by_environment(self) -> Mapping[str, Environment]:
        """Settings of every environment."""

    @abstractmethod
    def open(self) -> Source:
        """Read and fit what the environments need.

        Raises:
            InputError: if the data are missing or do not suffice.
        """

    @model_validator(mode="after")
    def _roles_exist(self) -> DataSet:
        known = self.settings_by_environment
        for role in ("train", "validation", "test"):
            names = getattr(self, role)
            if not names:
                raise ValueError(f"{role} names no environment; known: {', '.join(known)}")
            for name in names:
                if name not in known:
                    raise ValueError(unknown(role, name, known))
        for role in ("validation", "test"):
            shared = set(self.train) & set(getattr(self, role))
            if shared and not self.oracle:
                raise ValueError(f"{role}: {', '.join(sorted(shared))} is trained on; hold it out or drop it there")
        return self
