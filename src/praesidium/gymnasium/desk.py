"""Desk: the study, the spaces and the paths behind an environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box

from praesidium.component import InputError, remember, unknown
from praesidium.experiments.scenes import Preparation
from praesidium.experiments.study import Study, compose
from praesidium.gymnasium.book import Book
from praesidium.gymnasium.orders import Orders
from praesidium.gymnasium.table import Seat, Table
from praesidium.hedging.rollout import Trial

BLOCK = 256  # paths drawn at once, at least: one takes as long


class Desk:
    """Deals paths in the order of a seed: which come next follows from it and from what was dealt before.

    Args:
        data, environment, overrides, action: as of :class:`praesidium.gymnasium.environments.Hedging`.

    Attributes:
        preparation: the composed study.
        names: the environments, which take turns from path to path.
        orders: what actions ask for.
    """

    def __init__(self, data: str, environment: str | Sequence[str], overrides: Sequence[str], action: str) -> None:
        study = _composed(f"data={data}", *overrides)
        self.orders = Orders.under(study.limits, action)
        self.preparation = Preparation(
            study.data, study.liability, study.state, instruments=study.instruments, limits=study.limits
        )
        self.names = (environment,) if isinstance(environment, str) else tuple(environment)
        if not self.names:
            raise InputError("environment: () names none; name at least one environment of the data set")
        self._known = tuple(self.preparation.source.simulators)
        for name in self.names:
            self._check(name)
        self._builder = self.preparation.builder
        self.shuffle(0)

    @property
    def action_space(self) -> Box:
        """What to hold or to trade, in units of each instrument."""
        return self.orders.box(1 + len(self.preparation.instruments))

    @property
    def observation_space(self) -> Box:
        """Standardized features, then the standardized inventory in each instrument."""
        state, builder = self.preparation.state, self._builder
        scale = builder.inventory
        held = (torch.tensor(self.orders.position) - scale.mean[0]) / scale.deviation[0]
        columns, instruments = (*state.phi_columns, *state.context_columns), 1 + len(builder.instruments)
        low, high = (
            [sign * state.clip] * len(columns) + [end] * instruments for sign, end in zip((-1, 1), held, strict=True)
        )
        return Box(np.array(low, np.float32), np.array(high, np.float32), dtype=np.float32)

    def shuffle(self, seed: int) -> None:
        """Begin the paths of a seed."""
        self._seed, self._dealt = seed, 0
        self._drawn: dict[str, int] = {}
        self._open: dict[str, tuple[Trial, int]] = {}

    def deal(self, count: int, options: Mapping[str, Any] | None) -> Table:
        """The next paths, all in the environment that the options name, if they do.

        Raises:
            InputError: if there is no such option or environment.
        """
        for option in options or {}:
            if option != "environment":
                raise InputError(unknown("options", option, ("environment",)))
        names = (options["environment"],) if options else self.names
        seats = []
        for number, name in enumerate(names):
            self._check(name)
            paths = slice((number - self._dealt) % len(names), count, len(names))
            if size := len(range(count)[paths]):
                seats.append(Seat(name, paths, Book(self._take(name, size), self.orders)))
        self._dealt += count
        return Table(count, seats)

    def _check(self, name: object) -> None:
        if name not in self._known:
            raise InputError(unknown("environment", name, self._known))

    def _take(self, name: str, count: int) -> Trial:
        """The next paths of the open block of an environment, or the first of a new one."""
        block, first = self._open.get(name, (None, 0))
        if block is None or first + count > len(block.ledger.payoff):
            block, first = self._draw(name, size=max(1, BLOCK // count) * count), 0
        self._open[name] = block, first + count
        chosen = slice(first, first + count)
        return Trial(block.state.take(chosen), block.ledger.take(chosen))

    @torch.no_grad()
    def _draw(self, name: str, size: int) -> Trial:
        desk, number = self.preparation, self._drawn.get(name, 0)
        self._drawn[name] = number + 1
        ((_, paths),) = desk.draw((name,), size, "gymnasium", self._seed, number)
        charged = desk.data.settings_by_environment[name]
        return Trial.make(paths, self._builder, charged.cost_rate, frictions=charged.frictions, dtype=torch.float32)


@remember(8)
def _composed(*overrides: str) -> Study:
    """The study, composed once for all environments of a process that ask for it."""
    return compose(overrides)
