"""Tables of what the store holds: one row a data set, method and environment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd

from praesidium.experiments import store

COLUMNS = (
    "dataset",
    "method",
    "environment",
    "seeds",
    "cvar95",
    "cvar95_se",
    "cvar95_no_premium",
    "vs_erm",
    "mean_pnl",
    "max_drawdown",
    "turnover",
    "sortino",
    "return_risk",
    "turnover_ratio",
    "volatility_ratio",
)
MEASURES = (
    "cvar95",
    "cvar95_se",
    "cvar95_no_premium",
    "mean_pnl",
    "max_drawdown",
    "turnover",
    "sortino",
    "return_risk",
    "turnover_ratio",
    "volatility_ratio",
)
BASELINE = "erm"
BASELINES = (BASELINE, "erm_baseline")  # the same method, by its name among the ablations


@dataclass(frozen=True)
class Results:
    """Everything that a results folder holds.

    Attributes:
        runs: that are finished.
        cells: one row a data set, method, seed and environment, with the measures.
        unfinished: runs that were begun but are not done.
    """

    runs: list[store.Entry]
    cells: pd.DataFrame
    unfinished: tuple[str, ...]


def read_results(root: Path) -> Results:
    """Read the finished runs below a folder.

    Raises:
        InputError: if there are none.
    """
    runs = store.finished(root)
    rows = [{**run.names, **row} for run in runs for row in environment_rows(run.metrics, run.settings["data"])]
    others = sorted(one.folder for one in {*store.entries(root)} - {*runs})
    return Results(runs, pd.DataFrame(rows), tuple(str(folder.relative_to(root)) for folder in others))


def environment_rows(metrics: dict[str, Any], data: dict[str, Any]) -> list[dict[str, Any]]:
    """One row an environment, with the part that it plays; real windows come last."""
    roles = {name: role for role in ("train", "validation", "test") for name in data[role]}
    names = [key.split("/")[2] for key in metrics if key.startswith("metrics/cvar95/")]
    return [
        {
            "environment": name,
            "role": roles.get(name, "window"),
            **{measure: metrics[f"metrics/{measure}/{name}"] for measure in MEASURES},
            "n_eff": metrics.get(f"metrics/n_eff/{name}"),
            "highest_volatility": metrics.get(f"metrics/highest_volatility/{name}"),
        }
        for name in names
    ]


def summarize(results: Results) -> pd.DataFrame:
    """Means over seeds, one row a data set, method and environment.

    ``cvar95_se`` covers both sources of chance: sqrt(mean se^2 over episodes + variance over seeds / seeds); the
    episodes are the same for every seed, so that more seeds do not shrink their share. Missing where an environment is
    too short for an interval. ``vs_erm`` is the median over seeds of cvar95 / cvar95 of ``erm`` with the same seed,
    less one: negative is better. Missing without ``erm``.
    """
    cells = results.cells
    erm = cells[cells.method == _baseline(cells)].set_index(["dataset", "environment", "seed"]).cvar95
    rows = []
    for names, group in cells.groupby(["dataset", "method", "environment"], sort=False):
        keys = pd.MultiIndex.from_arrays([group.dataset, group.environment, group.seed])
        ratio = group.cvar95.to_numpy(float) / erm.reindex(keys).to_numpy(float)
        seeds = len(group)
        between = group.cvar95.var(ddof=1) / seeds if seeds > 1 else 0.0
        within = group.cvar95_se.astype(float).pow(2).mean(skipna=False)
        row: dict[str, Any] = {**dict(zip(COLUMNS, cast("tuple[str, ...]", names), strict=False)), "seeds": seeds}
        row |= {measure: group[measure].astype(float).mean(skipna=False) for measure in MEASURES}
        row["cvar95_se"] = math.sqrt(within + between)
        row["vs_erm"] = float(pd.Series(ratio).median(skipna=False)) - 1
        row["role"], row["n_eff"] = group.role.iloc[0], group.n_eff.astype(float).mean()
        row["highest_volatility"] = group.highest_volatility.iloc[0]
        rows.append(row)
    return pd.DataFrame(rows)


def _baseline(cells: pd.DataFrame) -> str:
    return next((name for name in BASELINES if (cells.method == name).any()), BASELINE)


def arrange(summary: pd.DataFrame, datasets: Sequence[str], methods: Sequence[str]) -> pd.DataFrame:
    """The rows of these data sets and methods, in this order."""
    kept = summary.query("dataset in @datasets and method in @methods")
    places = {name: place for names in (datasets, methods) for place, name in enumerate(names)}
    return kept.sort_values(["dataset", "method"], key=lambda names: names.map(places), kind="stable")


def write_summary(summary: pd.DataFrame, root: Path) -> Path:
    """Write ``summary.csv`` (whole or not at all); missing numbers stay empty."""
    path = root / "summary.csv"
    store.write_text(path, summary[list(COLUMNS)].to_csv(index=False, float_format="%.10g"))
    return path
