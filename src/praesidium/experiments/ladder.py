"""A severity ladder: every trained policy judged in markets of rising severity, and how far each is from training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from praesidium.component import InputError
from praesidium.data.environments import DataSet
from praesidium.diagnostics.mismatch import episode_summary, sliced_wasserstein, standardize
from praesidium.diagnostics.scorecard import LEVEL
from praesidium.experiments import store
from praesidium.experiments.reevaluation import read_best
from praesidium.experiments.scenes import Preparation
from praesidium.experiments.study import compose
from praesidium.hedging.rollout import Rule, Scene
from praesidium.hedging.state_builder import StateBuilder
from praesidium.markets.paths import Paths
from praesidium.risk import cvar
from praesidium.training.reproducibility import stream

EPISODES = 4096  # on each rung
COMPARED = 2048  # whose features are compared between training and rung


def climb(root: Path, *, dataset: str, methods: Sequence[str] | None = None) -> pd.DataFrame:
    """One row a run and rung: risk there and on the training environments, their gap, ISI, and the mismatch.

    The gap of a rung is its CVaR-95 less the mean over the training environments, both by delta's on the same paths of
    the rung and of training; the mismatch is the sliced Wasserstein distance of episode features from training.

    Raises:
        InputError: if no trained run is there, or the ladder has fewer than two rungs.
    """
    folders = [
        run.folder
        for run in store.entries(root)
        if run.done and any((run.folder / store.CHECKPOINTS).glob("step_*.safetensors"))
        if methods is None or run.settings["method"] in methods
    ]
    if not folders:
        raise InputError(f"{root}: no trained policy is there; run praesidium benchmark --out {root} first")
    data = compose([f"data={dataset}"]).data
    rungs = list(data.test)
    if len(rungs) < 2:
        raise InputError(f"datasets: {dataset!r} has {len(rungs)} test environment; a ladder needs at least two")
    first = read_best(folders[0]).study
    prepared = Preparation(data, first.liability, first.state, instruments=first.instruments, limits=first.limits)
    drawn = dict(prepared.draw(data.names, EPISODES, "ladder"))
    mismatch = _mismatches(drawn, list(data.train), rungs)
    seen: dict[str, dict[str, tuple[Scene, Tensor]]] = {}
    rows: list[dict[str, Any]] = []
    for folder in folders:
        stored = read_best(folder)
        eyes = json.dumps([stored.study.state.settings(), stored.builder.learned()], sort_keys=True)
        if eyes not in seen:  # policies of the same training environments see the same states
            seen = {eyes: _scenes(data, stored.builder, drawn)}
        risks = {name: _relative(stored.rule, *scene) for name, scene in seen[eyes].items()}
        trained = sum(risks[name] for name in data.train) / len(data.train)
        rows += [
            {
                "dataset": stored.dataset,
                "method": stored.method,
                "seed": stored.seed,
                "severity": name,
                "risk": risks[name],
                "training_risk": trained,
                "gap": abs(risks[name] - trained),
                "mismatch": mismatch[name],
            }
            for name in rungs
        ]
    return pd.DataFrame(rows)


def _scenes(data: DataSet, builder: StateBuilder, drawn: Mapping[str, Paths]) -> dict[str, tuple[Scene, Tensor]]:
    """Of each environment the scene and the risk of delta."""
    made = {}
    for name, paths in drawn.items():
        settings = data.settings_by_environment[name]
        scene = Scene.make(paths, builder, settings.cost_rate, frictions=settings.frictions)
        made[name] = scene, cvar(scene.losses(scene.state.within(scene.state.hedge)).double(), level=LEVEL)
    return made


@torch.no_grad()
def _relative(rule: Rule, scene: Scene, reference: Tensor) -> float:
    """Risk by that of delta."""
    return (cvar(scene.losses(rule.positions(scene.state)).double(), level=LEVEL) / reference).item()


def _mismatches(drawn: dict[str, Paths], train: list[str], rungs: list[str]) -> dict[str, float]:
    """Distance of each rung's episodes from those of all training environments."""
    features = {name: episode_summary(paths)[:COMPARED] for name, paths in drawn.items()}
    reference = torch.cat([features[name][: COMPARED // len(train)] for name in train])
    standard = standardize(reference, *(features[name] for name in rungs))
    return {
        name: sliced_wasserstein(standard[0], one, generator=stream("ladder", "directions"))
        for name, one in zip(rungs, standard[1:], strict=True)
    }
