"""Data sets made of simulated markets."""

from __future__ import annotations

from collections.abc import Mapping

from praesidium.data.environments import DataSet, Environment, Source
from praesidium.markets.market import Market


class SimulatedEnvironment(Environment):
    """A market and what trading in it costs."""

    market: Market


class Simulated(DataSet, kind="simulated"):
    """Environments that are markets: known dynamics, as many episodes as one likes."""

    environments: dict[str, SimulatedEnvironment]

    @property
    def settings_by_environment(self) -> Mapping[str, Environment]:
        return self.environments

    def open(self) -> Source:
        return Source({name: environment.market for name, environment in self.environments.items()})
