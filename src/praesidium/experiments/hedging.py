"""One hedging experiment from settings to results: data, training, evaluation, store."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from praesidium.component import InputError, remember
from praesidium.data.environments import DataSet, Source
from praesidium.diagnostics.daily import DailyScores, daily_scores
from praesidium.diagnostics.scorecard import Scores, scorecard
from praesidium.experiments import store
from praesidium.experiments.store import Run, StepLog
from praesidium.experiments.study import Study
from praesidium.experiments.task import HedgingTask
from praesidium.hedging.episode import Episode
from praesidium.hedging.liability import Liability
from praesidium.hedging.rollout import Rule, Scene, rollout
from praesidium.hedging.state import StateBuilder, StateSettings
from praesidium.markets.paths import Paths
from praesidium.policies.policy import Sizes, TrainableRule
from praesidium.risk import cvar
from praesidium.training.batching import BalancedBatches
from praesidium.training.loop import fit, resumable_step
from praesidium.training.reproducibility import stream

STATE = "state.json"
WINDOWS = "windows.parquet"
CALIBRATION = 8192  # episodes of each training environment behind scales and volatility parameters


def perform(study: Study, seed: int, run: Run, *, device: str) -> None:
    """Train and evaluate one cell and write all of its files, the final metrics last."""
    begun = time.perf_counter()
    run.begin()
    builder = state_builder(study.data, study.liability, study.state)
    rule = study.policy.build(Sizes(len(study.state.phi), len(study.state.context), len(study.data.train)), seed=seed)
    metrics: dict[str, Any] = {}
    if isinstance(rule, nn.Module):
        if not isinstance(rule, TrainableRule):
            raise TypeError(f"{type(rule).__name__} has parameters but is no TrainableRule; it would go untrained")
        metrics = train(study, seed, rule, run, device=device)
    store.write_text(run.folder / store.ARTIFACTS / STATE, json.dumps(builder.learned(), indent=2))
    episodes, windows = evaluate(rule, study, builder, device=device)
    keep_rows(run.folder, episodes, windows)
    metrics |= flat_scores(episodes, windows)
    metrics["data"] = dict(open_source(study.data).report)
    metrics["environments"] = describe(study.data, study.liability, study.state, study.evaluation.episodes)
    run.finish(metrics, device=device, seconds=time.perf_counter() - begun)


def train(study: Study, seed: int, rule: TrainableRule, run: Run, *, device: str) -> dict[str, Any]:
    """Train a rule in place; returns what is worth knowing about the training."""
    checkpoints, market = run.folder / store.CHECKPOINTS, (study.data, study.liability, study.state)
    scenes = training_scenes(*market, study.train.pool, seed, device)
    validation = validation_scenes(*market, study.evaluation.validation_episodes, device)
    rule.to(device)
    reference = torch.stack([cvar(one.losses(one.state.delta), level=study.risk.level) for one in scenes]).mean().item()
    task = HedgingTask(
        rule,
        scenes,
        validation,
        level=study.risk.level,
        smoothing=study.risk.smoothing,
        cost_smoothing=study.risk.cost_smoothing,
        scale=reference if study.risk.scale == "reference" else 1.0,
    )
    batches = BalancedBatches(study.train.pool, study.train.episodes, len(scenes), stream(seed, "batches"))
    log = StepLog(run.folder / store.LOG, resumed_at=resumable_step(checkpoints))
    try:
        fitted = fit(rule, task, study.objective, study.train, batches, folder=checkpoints, log=log)
    finally:
        log.close()
    return {
        "training/best_step": fitted.best_step,
        "training/validation_cvar95": fitted.best_risk,
        "training/optimizer_steps": fitted.optimizer_steps,
        "training/reference_risk": reference,
    }


def evaluate(
    rule: Rule, study: Study, builder: StateBuilder, *, device: str
) -> tuple[dict[str, Episode], dict[str, tuple[Episode, DailyScores]]]:
    """Roll a rule out on every environment and on every real window of the study's data set."""
    if isinstance(rule, nn.Module):
        rule.to(device)
    rates = {name: one.cost_rate for name, one in study.data.settings_by_environment.items()}
    judged = {
        name: rollout(rule, paths.to(device=device), builder, rates[name], dtype=torch.float32)
        for name, paths in evaluation_paths(study.data, study.evaluation.episodes).items()
    }
    windows: dict[str, tuple[Episode, DailyScores]] = {}
    source = open_source(study.data)
    for name, window in source.windows.items():
        paths = window.paths.to(device=device)
        episode = rollout(rule, paths, builder, source.window_cost_rate, dtype=torch.float32).to("cpu")
        windows[name] = episode, daily_scores(episode, window)
    return {name: episode.to("cpu") for name, episode in judged.items()}, windows


def flat_scores(episodes: Mapping[str, Episode], windows: Mapping[str, tuple[Episode, DailyScores]]) -> dict[str, Any]:
    """``metrics/cvar95/crisis`` and the like; what a window cannot tell is None."""
    scores: dict[str, Scores] = {name: scorecard(episode) for name, episode in episodes.items()}
    scores |= {name: daily.scores for name, (_, daily) in windows.items()}
    flat: dict[str, Any] = {
        f"metrics/{key}/{name}": value for name, one in scores.items() for key, value in one.items()
    }
    flat |= {f"metrics/n_eff/{name}": daily.effective for name, (_, daily) in windows.items()}
    return flat | {
        f"metrics/highest_volatility/{name}": daily.highest_volatility for name, (_, daily) in windows.items()
    }


def keep_rows(
    folder: Path, episodes: Mapping[str, Episode], windows: Mapping[str, tuple[Episode, DailyScores]]
) -> None:
    """Write the results by episode and, for real windows, by day."""
    everything = {**episodes, **{name: episode for name, (episode, _) in windows.items()}}
    tables = []
    for name, episode in everything.items():
        columns = {
            "pnl": episode.pnl,
            "pnl_without_premium": episode.pnl_without_premium,
            "max_drawdown": episode.drawdown,
            "turnover": episode.turnover,
        }
        table = pd.DataFrame({key: value.numpy().astype(np.float32) for key, value in columns.items()})
        table.insert(0, "episode", np.arange(len(table), dtype=np.int32))
        table.insert(0, "environment", name)
        tables.append(table)
    pd.concat(tables).astype({"environment": "category"}).to_parquet(folder / store.EPISODES, index=False)
    if windows:
        daily = [one.rows.assign(window=name) for name, (_, one) in windows.items()]
        pd.concat(daily).to_parquet(folder / store.ARTIFACTS / WINDOWS, index=False)


def read_state(folder: Path, study: Study) -> StateBuilder:
    """The state builder that a run was trained with.

    Raises:
        InputError: if the run did not keep it.
    """
    path = folder / store.ARTIFACTS / STATE
    try:
        learned = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        raise InputError(f"{path}: cannot be read; evaluate a checkpoint inside the folder of its run") from None
    return StateBuilder.restore(study.state, study.liability, learned)


@remember(2)
def open_source(data: DataSet) -> Source:
    """The opened data set; opening it again costs nothing in the same process."""
    return data.open()


@remember(2)
def evaluation_paths(data: DataSet, episodes: int) -> dict[str, Paths]:
    """The paths on which everybody is judged: the same for every method and seed, apart from all training paths."""
    return _draw(data, (*data.train, *data.validation, *data.test), episodes, "evaluation")


@remember(2)
def validation_scenes(
    data: DataSet, liability: Liability, state: StateSettings, episodes: int, device: str
) -> list[Scene]:
    """The scenes on which checkpoints are compared, the same for every method and seed."""
    builder, paths = state_builder(data, liability, state), _draw(data, data.validation, episodes, "validation")
    rates = data.settings_by_environment
    return [Scene.make(one.to(device=device), builder, rates[name].cost_rate) for name, one in paths.items()]


@remember(2)
def state_builder(data: DataSet, liability: Liability, state: StateSettings) -> StateBuilder:
    """The state builder, fitted on training environments with draws of their own.

    It is the same for every seed, so that a rule without parameters, such as delta, has no seeds to differ by.
    """
    return state.fit(list(_draw(data, data.train, CALIBRATION, "calibration").values()), liability)


@remember(2)
def describe(data: DataSet, liability: Liability, state: StateSettings, episodes: int) -> dict[str, dict[str, float]]:
    """Facts about the evaluation paths: realized volatility, and the share of features that the bound cuts off."""
    builder = state_builder(data, liability, state)
    return {
        name: {
            "realized_volatility": (paths.episode.double().log().diff(dim=0).square().mean() / paths.dt).sqrt().item(),
            "context_clipped_share": builder.clipped_share(paths),
        }
        for name, paths in evaluation_paths(data, episodes).items()
    }


@remember(1)
def training_scenes(
    data: DataSet, liability: Liability, state: StateSettings, pool: int, seed: int, device: str
) -> list[Scene]:
    """The training pool of a seed, a scene for each environment; the same for every method."""
    builder, pools = state_builder(data, liability, state), _draw(data, data.train, pool, seed, "training")
    rates = data.settings_by_environment
    return [
        Scene.make(paths.to(device=device), builder, rates[name].cost_rate, number)
        for number, (name, paths) in enumerate(pools.items())
    ]


def _draw(data: DataSet, names: tuple[str, ...], episodes: int, *purpose: str | int) -> dict[str, Paths]:
    simulators = open_source(data).simulators
    return {
        name: simulators[name].simulate(
            paths=episodes, horizon=data.horizon, lookback=data.lookback, generator=stream(*purpose, name)
        )
        for name in names
    }
