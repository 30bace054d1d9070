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
from praesidium.reporting.tables import read_metrics

SCALE = 1e4


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
        rows = self.trials[self.trials.chosen]
        return {row.method: list(row.changes) for row in rows.itertuples()}

    def table(self) -> Table:
        """For people: what was chosen, and the gap to what hindsight would have chosen."""
        table = Table()
        for name in ("method", "trials", "chosen", "validation bp", "first bp", "crisis bp", "oracle crisis bp", "gap"):
            table.add_column(name, justify="left" if name in {"method", "chosen"} else "right")
        for method, rows in self.trials.groupby("method", sort=False):
            best, first = rows[rows.chosen].iloc[0], rows.iloc[0]
            oracle = rows.crisis.min()
            table.add_row(
                str(method),
                str(len(rows)),
                " ".join(best.changes) or "as it stands",
                f"{best.validation * SCALE:.1f} ±{best.validation_se * SCALE:.1f}",
                f"{first.validation * SCALE:.1f}",
                f"{best.crisis * SCALE:.1f}",
                f"{oracle * SCALE:.1f}",
                f"{best.crisis / oracle - 1:+.1%}",
            )
        return table


def select(root: Path) -> Selection:
    """The trial of lowest mean validation CVaR-95 of each method; the earlier of equal ones.

    The crisis is never looked at for the choice; it is shown for what hindsight would have given.

    Raises:
        InputError: if there is no finished trial.
    """
    rows: dict[tuple[str, str], list[tuple[float, float]]] = {}
    settings: dict[tuple[str, str], dict[str, Any]] = {}
    for config in sorted(root.glob(f"trial_*/*/*/seed_*/{store.CONFIG}")):
        folder = config.parent
        if not (folder / store.FINAL).is_file():
            continue
        own, metrics = store.read_config(folder), read_metrics(folder)
        key = (own["method"], config.relative_to(root).parts[0])
        validation, crisis = (metrics[f"metrics/cvar95/{own['data'][role][0]}"] for role in ("validation", "test"))
        rows.setdefault(key, []).append((metrics.get("training/validation_cvar95", validation), crisis))
        settings[key] = flatten({name: own[name] for name in own if name not in {"seed", "method", "dataset"}})
    if not rows:
        raise InputError(f"{root}: there is no finished trial here; run praesidium tune --out {root} first")
    table = pd.DataFrame([_trial(key, found, settings) for key, found in rows.items()])
    table = table.sort_values(["method", "trial"], kind="stable").reset_index(drop=True)
    table["chosen"] = table.index.isin(table.groupby("method").validation.idxmin())
    return Selection(table, max(len(one) for one in rows.values()))


def write_selection(selection: Selection, root: Path) -> list[Path]:
    """Write the choice and all trials."""
    choice, trials = root / CHOICE, root / "trials.csv"
    store.write_text(choice, yaml.safe_dump({"methods": selection.chosen}, sort_keys=False))
    plain = selection.trials.assign(changes=selection.trials.changes.map(" ".join))
    store.write_text(trials, plain.to_csv(index=False, float_format="%.8g"))
    return [choice, trials]


def _trial(
    key: tuple[str, str], found: list[tuple[float, float]], settings: dict[tuple[str, str], dict[str, Any]]
) -> dict[str, Any]:
    method, trial = key
    first = settings.get((method, "trial_00"), settings[key])
    validation = pd.Series([one for one, _ in found])
    return {
        "method": method,
        "trial": trial,
        "changes": [f"{name}={value}" for name, value in settings[key].items() if first.get(name) != value],
        "seeds": len(found),
        "validation": validation.mean(),
        "validation_se": validation.sem() if len(found) > 1 else 0.0,
        "crisis": pd.Series([one for _, one in found]).mean(),
    }
