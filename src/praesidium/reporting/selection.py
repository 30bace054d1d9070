"""Choosing among trials by the validation risk alone, and what that leaves on the table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from rich.table import Table

from praesidium.component import InputError, flatten
from praesidium.experiments import store
from praesidium.experiments.tuning import CHOICE
from praesidium.reporting.curves import read_sweep
from praesidium.reporting.plots.sweep import sweep_figure

SCALE = 1e4
TRIALS = "trial_*/*/*/seed_*"
FIRST = "trial_00"  # the method as it stands


@dataclass(frozen=True)
class Selection:
    """What was tried and what is chosen.

    Attributes:
        trials: one row a method and trial: settings that differ from the first trial, means over seeds of validation
            and crisis CVaR-95, and whether it is chosen, or best in the crisis.
        seeds: of each trial.
    """

    trials: pd.DataFrame
    seeds: int

    @property
    def chosen(self) -> dict[str, list[str]]:
        """Overrides by method."""
        rows = self.trials.query("chosen").to_dict("records")
        return {str(row["method"]): list(row["changes"]) for row in rows}

    def table(self) -> Table:
        """For people: what was chosen, and the gap to what hindsight would have chosen."""
        table = Table()
        for name in ("method", "trials", "chosen", "validation bp", "first bp", "crisis bp", "oracle crisis bp", "gap"):
            table.add_column(name, justify="left" if name in {"method", "chosen"} else "right")
        for method, rows in self.trials.groupby("method", sort=False):
            best, first = rows[rows.chosen].iloc[0], rows[rows.trial == FIRST].validation * SCALE
            oracle = rows.crisis.min()
            table.add_row(
                str(method),
                str(len(rows)),
                " ".join(best.changes) or "as it stands",
                f"{best.validation * SCALE:.1f} ±{best.validation_se * SCALE:.1f}",
                f"{first.iloc[0]:.1f}" if len(first) else "failed",
                f"{best.crisis * SCALE:.1f}",
                f"{oracle * SCALE:.1f}",
                f"{best.crisis / oracle - 1:+.1%}",
            )
        return table


def select(root: Path) -> Selection:
    """Of each method the first trial within one standard error of the one with the lowest mean validation CVaR-95.

    The error is that of the difference between the two, seed by seed. A trial that lacks a seed that another one has is
    not chosen: its mean would be that of the seeds that went well. The crisis is never looked at for the choice; it is
    shown for what hindsight would have given.

    Raises:
        InputError: if there is no finished trial, the first one is missing, or the trials are of several data sets.
    """
    rows: dict[tuple[str, str], list[tuple[float, float]]] = {}
    settings: dict[tuple[str, str], dict[str, Any]] = {}
    datasets: set[str] = set()
    for run in store.entries(root, TRIALS):
        own = run.settings
        key = (own["method"], run.folder.relative_to(root).parts[0])
        datasets.add(own["dataset"])
        settings[key] = flatten({name: own[name] for name in own if name not in store.NAMES})
        if not run.done:
            continue  # its settings still say what the others differ from
        validation, crisis = (run.metrics[f"metrics/cvar95/{own['data'][role][0]}"] for role in ("validation", "test"))
        rows.setdefault(key, []).append((run.metrics.get("training/validation_cvar95", validation), crisis))
    if not rows:
        raise InputError(f"{root}: there is no finished trial here; run praesidium tune --out {root} first")
    if len(datasets) > 1:
        raise InputError(f"{root}: trials on {', '.join(sorted(datasets))}; give each data set an --out of its own")
    for method, trial in rows:
        if (method, FIRST) not in settings:
            raise InputError(f"{root}: {method} has {trial} but not {FIRST}; run the same praesidium tune again")
    table = pd.DataFrame([_trial(key, found, settings) for key, found in rows.items()])
    table = table.sort_values(["method", "trial"], kind="stable").reset_index(drop=True)
    whole = table.loc[table.seeds == table.groupby("method").seeds.transform("max")]
    table["chosen"] = table.index.isin([_first_as_good(own) for _, own in whole.groupby("method")])
    return Selection(table, max(len(one) for one in rows.values()))


def _first_as_good(trials: pd.DataFrame) -> int:
    """Index of the first trial that is as good as the best one, to one standard error of their difference."""
    best = pd.Series(trials.by_seed[trials.validation.idxmin()])
    for index, own in trials.by_seed.items():
        excess = pd.Series(own) - best
        if excess.mean() <= (excess.sem() if len(excess) > 1 else 0.0):
            return int(str(index))
    raise AssertionError("the best trial is as good as itself")


def write_selection(selection: Selection, root: Path) -> list[Path]:
    """Write the choice and all trials."""
    choice, trials = root / CHOICE, root / "trials.csv"
    store.write_text(choice, yaml.safe_dump({"methods": selection.chosen}, sort_keys=False))
    plain = selection.trials.drop(columns="by_seed").assign(changes=selection.trials.changes.map(" ".join))
    store.write_text(trials, plain.to_csv(index=False, float_format="%.8g"))
    return [choice, trials]


def draw_sweep(root: Path, grid: str) -> list[Path]:
    """Draw risks by the value of the setting that a grid went along, if it is a number."""
    key, _, values = grid.partition("=")
    if any(pd.isna(pd.to_numeric(one.strip(), errors="coerce")) for one in values.split(",")):
        return []
    swept = read_sweep([run for run in store.entries(root, TRIALS) if run.done], weight=key)
    drawn = sweep_figure(swept, root / "sweep.png") if len(swept) else None
    return [drawn] if drawn else []


def _trial(
    key: tuple[str, str], found: list[tuple[float, float]], settings: dict[tuple[str, str], dict[str, Any]]
) -> dict[str, Any]:
    method, trial = key
    first = settings[method, FIRST]
    validation = pd.Series([one for one, _ in found])
    return {
        "method": method,
        "trial": trial,
        "changes": [f"{name}={value}" for name, value in settings[key].items() if first.get(name) != value],
        "seeds": len(found),
        "by_seed": tuple(validation),
        "validation": validation.mean(),
        "validation_se": validation.sem() if len(found) > 1 else 0.0,
        "crisis": pd.Series([one for _, one in found]).mean(),
    }
