"""Episodes of a study: drawn once, made ready once, and shared by every method that asks for the same ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from praesidium.component import remember
from praesidium.data.environments import DataSet, Source
from praesidium.experiments.shelf import Shelf
from praesidium.hedging.episode import Ledger
from praesidium.hedging.liability import Liability
from praesidium.hedging.rollout import Scene, Trial
from praesidium.hedging.state import BY_DAY_AND_PATH, State, StateBuilder, StateSettings
from praesidium.markets.paths import Paths
from praesidium.stopwatch import phase
from praesidium.training.reproducibility import stream

CALIBRATION = 8192  # episodes of each training environment behind scales and volatility parameters
KEPT = (*BY_DAY_AND_PATH, "tau")  # of a state


class Preparation:
    """What a data set, a liability and a choice of features give, on one device.

    Args:
        data: the data set.
        liability: what was sold.
        state: what policies see.
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
        device: str = "cpu",
        shelf: str | None = None,
        builder: StateBuilder | None = None,
    ) -> None:
        self._builder = builder
        self.data, self.liability, self.state, self.device = data, liability, state, device
        self.shelf = Shelf(Path(shelf) if shelf else None)
        self.settings = {"data": data.settings(), "liability": liability.settings(), "state": state.settings()}

    @property
    def source(self) -> Source:
        """The opened data set."""
        return open_source(self.data)

    @property
    def builder(self) -> StateBuilder:
        """Makes states, with the scales of the training environments."""
        return self._builder or state_builder(self.data, self.liability, self.state)

    def training(self, pool: int, seed: int) -> list[Scene]:
        """The training pool of a seed, a scene for each environment; the same for every method."""
        return self._scenes(training_name(seed), self.data.train, pool, seed, "training")

    def validation(self, episodes: int) -> list[Scene]:
        """The scenes on which checkpoints are compared, the same for every method and seed."""
        return self._scenes("validation", self.data.validation, episodes, "validation")

    def evaluation(self, episodes: int) -> tuple[dict[str, Trial], dict[str, dict[str, float]]]:
        """Trials of every environment, the same for every method and seed, apart from all training paths.

        Returns:
            The trials, and facts about their paths: realized volatility, and the share of features that the bound of
            the scaler cuts off.
        """
        names = (*self.data.train, *self.data.validation, *self.data.test)
        tensors, facts = self.shelf.fetch(
            "evaluation", {**self.settings, "episodes": episodes}, lambda: self._make_evaluation(names, episodes)
        )
        trials = {}
        for number, name in enumerate(names):
            parts = {key: one.to(self.device) for key, one in _part(tensors, number).items()}
            ledger = Ledger(parts["spot"], parts["marks"], parts["payoff"], self._rate(name))
            trials[name] = Trial(self._state({**parts, "spot": parts["spot"][:-1]}, name), ledger)
        return trials, facts

    def _make_evaluation(self, names: tuple[str, ...], episodes: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, facts = {}, {}
        for number, (name, paths) in enumerate(self.draw(names, episodes, "evaluation")):
            with phase("features"):
                trial = Trial.make(paths, self.builder, self._rate(name), dtype=torch.float32)
                kept = {key: getattr(trial.state, key) for key in KEPT}
                kept |= {"spot": trial.ledger.spot, "marks": trial.ledger.marks, "payoff": trial.ledger.payoff}
                tensors |= {f"{number}/{key}": one for key, one in kept.items()}
                growth = paths.episode.double().log().diff(dim=0)
                facts[name] = {
                    "realized_volatility": (growth.square().mean() / paths.dt).sqrt().item(),
                    "context_clipped_share": self.builder.clipped_share(paths),
                }
        return tensors, facts

    def _scenes(self, name: str, names: tuple[str, ...], episodes: int, *purpose: str | int) -> list[Scene]:
        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            tensors = {}
            for number, (environment, paths) in enumerate(self.draw(names, episodes, *purpose)):
                with phase("features"):
                    scene = Scene.make(paths, self.builder, self._rate(environment))
                kept = {key: getattr(scene.state, key) for key in KEPT}
                kept |= {"gains": scene.gains, "owed": scene.owed}
                tensors |= {f"{number}/{key}": one for key, one in kept.items()}
            return tensors, {}

        tensors, _ = self.shelf.fetch(name, {**self.settings, "episodes": episodes, "purpose": list(purpose)}, make)
        scenes = []
        for number, environment in enumerate(names):
            parts = {key: one.to(self.device) for key, one in _part(tensors, number).items()}
            label = number if environment in self.data.train else None
            scenes.append(Scene(self._state(parts, environment, label), parts["gains"], parts["owed"]))
        return scenes

    def draw(self, names: Iterable[str], episodes: int, *purpose: str | int) -> Iterable[tuple[str, Paths]]:
        """Fresh episodes of each environment, one after the other."""
        for name in names:
            simulator = self.source.simulators[name]
            with phase("simulate"):
                paths = simulator.simulate(
                    paths=episodes,
                    horizon=self.data.horizon,
                    lookback=self.data.lookback,
                    generator=stream(*purpose, name),
                )
            yield name, paths

    def _state(self, parts: Mapping[str, Tensor], environment: str, label: int | None = None) -> State:
        """A state from what was kept of it."""
        return self.builder.assemble(parts, self._rate(environment), label)

    def _rate(self, environment: str) -> float:
        return self.data.settings_by_environment[environment].cost_rate


@remember(4)
def prepare(
    data: DataSet, liability: Liability, state: StateSettings, device: str = "cpu", shelf: str | None = None
) -> Preparation:
    """The preparation with these settings, the same object in the same process."""
    return Preparation(data, liability, state, device=device, shelf=shelf)


@remember(2)
def open_source(data: DataSet) -> Source:
    """The opened data set; opening it again costs nothing in the same process."""
    with phase("open"):
        return data.open()


@remember(2)
def state_builder(data: DataSet, liability: Liability, state: StateSettings) -> StateBuilder:
    """The state builder, fitted on training environments with draws of their own.

    It is the same for every seed, so that a rule without parameters, such as delta, has no seeds to differ by.
    """
    drawn = [paths for _, paths in Preparation(data, liability, state).draw(data.train, CALIBRATION, "calibration")]
    with phase("features"):
        return state.fit(drawn, liability)


def training_name(seed: int) -> str:
    """What the training pool of a seed is called on the shelf."""
    return f"training-{seed}"


def _part(tensors: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
    """The tensors of one environment."""
    prefix = f"{number}/"
    return {key.removeprefix(prefix): one for key, one in tensors.items() if key.startswith(prefix)}
