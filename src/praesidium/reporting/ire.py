"""I-R-E tables: invariance, robustness and efficiency of every run, and by method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from praesidium.diagnostics.gap import (
    bias_corrected_gap,
    gap_is_resolved,
    invariance_gap,
    normalized_gap,
    worst_group,
    worst_group_cvar,
)
from praesidium.experiments import store
from praesidium.reporting.tables import BASELINES

KEYS = [*store.NAMES]
INVARIANCE = ("isi", "c1", "c2", "c2_raw", "c3", "ig", "ig_corrected", "ig_norm", "ig_excess")
ROBUSTNESS = ("wg_max", "wg_half", "vr")
EFFICIENCY = ("er", "tr")
SPURIOUS = "context_sensitivity"
STRESS = ("validation", "test")


def read_ire(runs: Sequence[store.Entry]) -> pd.DataFrame:
    """One row a run, of finished ones; what cannot be told is missing.

    ``isi`` with its parts comes from the probes of the run. ``ig`` is the largest difference of CVaR-95 between the
    environments that were not trained on; ``ig_corrected`` takes off what equal risks would show by chance, ``ig_norm``
    divides by the median over seeds of the baseline's mean risk there, ``ig_excess`` is the gap of what lies above
    delta's. ``wg_max`` is the worst of them, ``wg_half`` the mean of the worse half. ``vr``, ``er`` and ``tr`` are
    those of the first test environment, ``context_sensitivity`` the mean slope of the position in the standardized
    regime features there.
    """
    table = pd.DataFrame([{**run.names, **_row(run.settings, run.metrics)} for run in runs])
    for dataset, part in table.groupby("dataset", sort=False):
        base = part[part.method.isin(BASELINES)].risk_mean
        here = table.dataset == dataset
        if len(base) and part.ig.notna().any():
            table.loc[here, "ig_norm"] = [
                normalized_gap(torch.tensor(one), normalizer=float(base.median())) if len(one) > 1 else np.nan
                for one in part.risks
            ]
        delta = part[part.method == "delta"]
        if len(delta):
            own = np.array(delta.risks.iloc[0])
            table.loc[here, "ig_excess"] = [
                np.ptp(np.array(one) - own) if len(one) == len(own) > 1 else np.nan for one in part.risks
            ]
    return table.drop(columns=["risks", "risk_mean"])


def by_method(table: pd.DataFrame) -> pd.DataFrame:
    """Medians over seeds, one row a data set and method, with the number of seeds."""
    measures = [*INVARIANCE, *ROBUSTNESS, *EFFICIENCY, SPURIOUS]
    grouped = table.groupby(["dataset", "method"], sort=False)
    return grouped[measures].median().assign(seeds=grouped.seed.nunique()).reset_index()


def write_diagnostics(table: pd.DataFrame, root: Path) -> Path:
    """Write ``diagnostics.csv``, a row a run; missing numbers stay empty."""
    path = root / "diagnostics.csv"
    store.write_text(path, table.to_csv(index=False, float_format="%.8g"))
    return path


def _row(settings: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, Any]:
    roles = settings["data"]
    names = list(dict.fromkeys(name for role in STRESS for name in roles[role]))
    crisis = roles["test"][0]
    risks = torch.tensor([metrics[f"metrics/cvar95/{name}"] for name in names], dtype=torch.float64)
    errors = torch.tensor([metrics[f"metrics/cvar95_se/{name}"] for name in names], dtype=torch.float64)
    several = len(names) > 1
    sensitivity = metrics.get("probes", {}).get("sensitivity", {}).get(crisis, {})
    context = [sensitivity[name] for name in settings["state"]["context"] if name in sensitivity]
    return {
        "isi": metrics.get("metrics/isi/all"),
        **{part: metrics.get(f"metrics/isi/{part}") for part in ("c1", "c2", "c2_raw", "c3")},
        "ig": invariance_gap(risks) if several else None,
        "ig_corrected": bias_corrected_gap(risks, errors) if several else None,
        "ig_resolved": gap_is_resolved(risks, errors) if several else None,
        "ig_norm": np.nan,
        "ig_excess": np.nan,
        "wg_max": worst_group(risks),
        "wg_half": worst_group_cvar(risks, tail_mass=0.5),
        "vr": metrics.get(f"metrics/volatility_ratio/{crisis}"),
        "er": metrics.get(f"metrics/return_risk/{crisis}"),
        "tr": metrics.get(f"metrics/turnover_ratio/{crisis}"),
        SPURIOUS: float(np.mean(context)) if context else None,
        "cvar95": metrics[f"metrics/cvar95/{crisis}"],
        "risks": risks.tolist(),
        "risk_mean": risks.mean().item(),
    }
