"""Judging a policy in every environment and on every real window, and keeping what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from praesidium.diagnostics.daily import DailyScores, daily_scores
from praesidium.diagnostics.efficiency import volatility_ratios
from praesidium.diagnostics.scorecard import Scores, scorecard
from praesidium.experiments import store
from praesidium.experiments.scenes import Preparation, marked_days
from praesidium.hedging.episode import Tally
from praesidium.hedging.rollout import Rule, Trial, rollout
from praesidium.stopwatch import phase

WINDOWS = "windows.parquet"


@dataclass(frozen=True)
class Judgment:
    """What a policy did, by environment and by real window; a hundredth of the size of its books.

    Attributes:
        environments: totals of every episode, and how unevenly its profit varies (VR).
        windows: totals of every episode, and scores by day.
        paths: facts about the paths of each environment.
    """

    environments: Mapping[str, tuple[Tally, Float[Tensor, " paths"]]]
    windows: Mapping[str, tuple[Tally, DailyScores]]
    paths: Mapping[str, dict[str, float]]

    def scores(self) -> dict[str, Any]:
        """``metrics/cvar95/crisis`` and the like; what a window cannot tell is None."""
        scores: dict[str, Scores] = {}
        for name, (tally, ratios) in self.environments.items():
            known = ratios[ratios.isfinite()]
            scores[name] = scorecard(tally) | {"volatility_ratio": known.mean().item() if len(known) else None}
        scores |= {name: daily.scores for name, (_, daily) in self.windows.items()}
        flat: dict[str, Any] = {
            f"metrics/{key}/{name}": value for name, one in scores.items() for key, value in one.items()
        }
        for name, (_, daily) in self.windows.items():
            flat[f"metrics/n_eff/{name}"] = daily.effective
        for name, (_, daily) in self.windows.items():
            flat[f"metrics/highest_volatility/{name}"] = daily.highest_volatility
        return flat

    def keep(self, folder: Path) -> None:
        """Write the results by episode and, for real windows, by day."""
        everything = {name: tally for name, (tally, _) in (*self.environments.items(), *self.windows.items())}
        tables = []
        for name, tally in everything.items():
            columns = {
                "pnl": tally.pnl,
                "pnl_without_premium": tally.pnl_without_premium,
                "max_drawdown": tally.drawdown,
                "turnover": tally.turnover,
            }
            table = pd.DataFrame({key: value.numpy().astype(np.float32) for key, value in columns.items()})
            table.insert(0, "episode", np.arange(len(table), dtype=np.int32))
            table.insert(0, "environment", name)
            tables.append(table)
        whole = pd.concat(tables).astype({"environment": "category"})
        whole.to_parquet(folder / store.EPISODES, index=False)
        if self.windows:
            daily = [one.rows.assign(window=name) for name, (_, one) in self.windows.items()]
            pd.concat(daily).to_parquet(folder / store.ARTIFACTS / WINDOWS, index=False)


def evaluate(rule: Rule, prepared: Preparation, episodes: int) -> Judgment:
    """Roll a rule out on every environment and on every real window of a data set.

    Args:
        rule: the policy.
        prepared: the data set as it is seen.
        episodes: in each environment.
    """
    if isinstance(rule, nn.Module):
        rule.to(prepared.device)
    trials, facts = prepared.evaluation(episodes)
    with phase("evaluate"):
        judged = {name: _totals(trial, rule) for name, trial in trials.items()}
    windows: dict[str, tuple[Tally, DailyScores]] = {}
    source = prepared.source
    for name, window in source.windows.items():
        with phase("evaluate"):
            left = marked_days(prepared.liability, prepared.instruments, prepared.data.horizon)
            paths = window.marked(left).to(device=prepared.device)
            paths = replace(paths, rate=prepared.data.rate, dividend=prepared.data.dividend)
            episode = rollout(
                rule,
                paths,
                prepared.builder,
                source.window_cost_rate,
                frictions=source.window_frictions,
                dtype=torch.float32,
            ).to("cpu")
            windows[name] = episode.tally(), daily_scores(episode, window)
    return Judgment(judged, windows, facts)


def _totals(trial: Trial, rule: Rule) -> tuple[Tally, Float[Tensor, " paths"]]:
    tallies, ratios = [], []
    for episode in trial.episodes(rule):
        tallies.append(episode.tally())
        ratios.append(volatility_ratios(episode.daily))
    return Tally.join(tallies).to("cpu"), torch.cat(ratios).cpu()
