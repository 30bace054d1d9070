"""Episodes of a study: drawn once, made ready once, and shared by every method that asks for the same ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from praesidium.component import remember
from praesidium.data.environments import DataSet, Source
from praesidium.data.frictions import Frictions
from praesidium.experiments.labels import Labels, relabel
from praesidium.experiments.shelf import Shelf
from praesidium.hedging.episode import SOMETIMES, Ledger
from praesidium.hedging.instruments import Instrument
from praesidium.hedging.liability import Liability
from praesidium.hedging.limits import Limits
from praesidium.hedging.rollout import Scene, Trial
from praesidium.hedging.state import BY_DAY, KEPT, Claim
from praesidium.hedging.state_builder import StateBuilder, StateSettings
from praesidium.markets.market import TRADING_DAYS
from praesidium.markets.paths import Paths
from praesidium.stopwatch import phase
from praesidium.training.reproducibility import stream

CALIBRATION = 8192  # episodes of each training environment behind scales and volatility parameters
TRAINING = "training"
LEDGER = ("spot", "marks", "payoff", "kept", "discount", *SOMETIMES)

Parts = list[dict[str, Tensor]]


class Preparation:
    """What a data set, a liability and a choice of features give, on one device.

    Args:
        data: the data set.
        liability: what was sold.
        state: what policies see.
        instruments: what they may hold beside the spot.
        limits: bounds that they keep.
        device: where the tensors are wanted.
        shelf: folder that the processes of a grid share; None keeps everything in this one.
        builder: makes states, if it is another than that of the data set: a policy keeps the scales of its training.
    """

    def __init__(
        self,
        data: DataSet,
        liability: Liability,
        state: StateSettings,
        *,
        instruments: tuple[Instrument, ...] = (),
        limits: Limits | None = None,
        device: str = "cpu",
        shelf: str | None = None,
        builder: StateBuilder | None = None,
    ) -> None:
        self.instruments, self.limits = instruments, limits
        self._builder = builder
        self.data, self.liability, self.state, self.device = data, liability, state, device
        self.shelf = Shelf(Path(shelf) if shelf else None)
        self.settings = {
            "data": data.settings(),
            "liability": liability.settings(),
            "state": state.settings(),
            "instruments": [one.settings() for one in instruments],
        }

    @property
    def source(self) -> Source:
        """The opened data set."""
        return open_source(self.data)

    @property
    def builder(self) -> StateBuilder:
        """Makes states, with the scales of the training environments."""
        return self._builder or state_builder(self.data, self.liability, self.state, self.instruments, self.limits)

    def training(self, pool: int, seed: int, labels: Labels = "bands") -> list[Scene]:
        """The training pool of a seed, a scene for each environment; the same for every method.

        Args:
            pool: episodes of each environment.
            seed: of the draws.
            labels: ``bands``, each environment its own episodes; ``random``, those of all environments dealt out anew,
                as many to each as before; ``regimes``, a scene for each regime, of ``pool`` episodes of all
                environments, drawn by the mean probability of the regime over their days.
        """
        return self._scenes(training_name(seed), self.data.train, pool, TRAINING, seed, labels=labels)

    def validation(self, episodes: int) -> list[Scene]:
        """The scenes on which checkpoints are compared, the same for every method and seed."""
        return self._scenes("validation", self.data.validation, episodes, "validation")

    def probes(self, episodes: int) -> dict[str, Scene]:
        """Fresh scenes of every environment, for what a trained policy is asked; the same for every method and seed."""
        return dict(zip(self.data.names, self._scenes("probes", self.data.names, episodes, "probes"), strict=True))

    def evaluation(self, episodes: int) -> tuple[dict[str, Trial], dict[str, dict[str, float]]]:
        """Trials of every environment, the same for every method and seed, apart from all training paths.

        Returns:
            The trials, and facts about their paths: realized volatility, and the share of features that the bound of
            the scaler cuts off.
        """

        def make() -> tuple[Parts, dict[str, Any]]:
            parts, facts = [], {}
            for name, paths in self.draw(self.data.names, episodes, "evaluation"):
                with phase("features"):
                    rate, frictions = self._charges(name)
                    trial = Trial.make(paths, self.builder, rate, frictions=frictions, dtype=torch.float32)
                    kept = _there(trial.state, KEPT) | _there(trial.ledger, LEDGER, "ledger.")
                    kept["spot"] = kept.pop("ledger.spot")
                    parts.append(kept)
                    growth = paths.episode.double().log().diff(dim=0)
                    facts[name] = {
                        "realized_volatility": (growth.square().mean() / paths.dt).sqrt().item(),
                        "context_clipped_share": self.builder.clipped_share(paths),
                    }
            return parts, facts

        parts, facts = self._fetch("evaluation", {"episodes": episodes, "purpose": ["evaluation"]}, make)
        trials = {}
        for name, one in zip(self.data.names, parts, strict=True):
            rate, frictions = self._charges(name)
            books = {key: one[f"ledger.{key}"] for key in LEDGER if f"ledger.{key}" in one}
            ledger = Ledger(
                spot=one["spot"],
                cost_rate=rate,
                frictions=frictions,
                rates=tuple(instrument.cost_multiple for instrument in self.builder.instruments),
                growth=math.exp(self.data.dividend / TRADING_DAYS),
                **books,
            )
            state = self.builder.assemble({**one, "spot": one["spot"][:-1]}, claim=self._claim())
            trials[name] = Trial(state, ledger)
        return trials, facts

    def _scenes(
        self, name: str, names: tuple[str, ...], episodes: int, *purpose: str | int, labels: Labels = "bands"
    ) -> list[Scene]:
        def make() -> tuple[Parts, dict[str, Any]]:
            scenes = []
            for environment, paths in self.draw(names, episodes, *purpose):
                with phase("features"):
                    rate, frictions = self._charges(environment)
                    scenes.append(Scene.make(paths, self.builder, rate, frictions=frictions))
            dealt = relabel(scenes, labels, stream(*purpose, labels))
            days = [
                {name: day.clone() for name, day in _there(one.state, BY_DAY).items()} for one in dealt
            ]  # not shared
            parts = [_there(one.state, KEPT) | _there(one, ("gains", "owed", "terms")) for one in dealt]
            return [part | own for part, own in zip(parts, days, strict=True)], {}

        told = [*purpose, labels] if labels != "bands" else list(purpose)
        parts, _ = self._fetch(name, {"episodes": episodes, "purpose": told}, make)
        trained = [number if name.startswith(TRAINING) else None for number in range(len(parts))]
        return [
            Scene(
                self.builder.assemble(one, label, claim=self._claim()),
                one["gains"],
                one["owed"],
                one.get("terms"),
                (1.0, *(instrument.cost_multiple for instrument in self.instruments)) if self.instruments else (),
            )
            for one, label in zip(parts, trained, strict=True)
        ]

    def _fetch(
        self, name: str, asked: dict[str, Any], make: Callable[[], tuple[Parts, dict[str, Any]]]
    ) -> tuple[Parts, dict[str, Any]]:
        """Tensors of each environment, made if nobody has done so, and facts about its paths."""

        def flat() -> tuple[dict[str, Tensor], dict[str, Any]]:
            parts, facts = make()
            return {f"{number}/{key}": one for number, part in enumerate(parts) for key, one in part.items()}, facts

        tensors, facts = self.shelf.fetch(name, {**self.settings, **asked}, flat)
        parts: dict[int, dict[str, Tensor]] = {}
        for key, one in tensors.items():
            number, _, own = key.partition("/")
            parts.setdefault(int(number), {})[own] = one.to(self.device)
        return [parts[number] for number in sorted(parts)], facts

    def draw(self, names: Iterable[str], episodes: int, *purpose: str | int) -> Iterable[tuple[str, Paths]]:
        """Fresh episodes of each environment, one after the other."""
        horizon = self.data.horizon
        left = marked_days(self.liability, self.instruments, horizon)
        for name in names:
            simulator = self.source.simulators[name]
            with phase("simulate"):
                paths = simulator.simulate(
                    paths=episodes,
                    horizon=horizon,
                    lookback=self.data.lookback,
                    generator=stream(*purpose, name),
                    left=left,
                )
            yield name, paths.carried(self.data.rate, self.data.dividend)

    def _claim(self) -> Claim | None:
        return self.builder.claim(1 / TRADING_DAYS, self.source.smile, self.data.rate, self.data.dividend)

    def _charges(self, environment: str) -> tuple[float, Frictions]:
        """What is charged there: the proportional cost, and the rest."""
        settings = self.data.settings_by_environment[environment]
        return settings.cost_rate, settings.frictions


@remember(4)
def prepare(
    data: DataSet,
    liability: Liability,
    state: StateSettings,
    instruments: tuple[Instrument, ...] = (),
    limits: Limits | None = None,
    device: str = "cpu",
    shelf: str | None = None,
) -> Preparation:
    """The preparation with these settings, the same object in the same process."""
    return Preparation(data, liability, state, instruments=instruments, limits=limits, device=device, shelf=shelf)


@remember(2)
def open_source(data: DataSet) -> Source:
    """The opened data set; opening it again costs nothing in the same process."""
    with phase("open"):
        return data.open()


@remember(2)
def state_builder(
    data: DataSet,
    liability: Liability,
    state: StateSettings,
    instruments: tuple[Instrument, ...] = (),
    limits: Limits | None = None,
) -> StateBuilder:
    """The state builder, fitted on training environments with draws of their own.

    It is the same for every seed, so that a rule without parameters, such as delta, has no seeds to differ by.
    """
    unfitted = Preparation(data, liability, state, instruments=instruments)
    drawn = [paths for _, paths in unfitted.draw(data.train, CALIBRATION, "calibration")]
    with phase("features"):
        return state.fit(drawn, liability, instruments, limits)


def marked_days(liability: Liability, instruments: tuple[Instrument, ...], horizon: int) -> list[list[int]]:
    """Days left at times 0..horizon of all that the market marks, the liability first."""
    beside = [one.days_left(horizon) for one in instruments]
    return [liability.days_left(horizon), *(days for days in beside if days is not None)]


def training_name(seed: int) -> str:
    """What the training pool of a seed is called on the shelf."""
    return f"{TRAINING}-{seed}"


def _there(holder: Any, names: tuple[str, ...], prefix: str = "") -> dict[str, Tensor]:
    """Those of the named tensors that it has."""
    return {f"{prefix}{name}": one for name in names if (one := getattr(holder, name)) is not None}
