"""What figures are drawn from: data frames of the runs in results folders."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch

from praesidium.component import InputError, flatten
from praesidium.diagnostics.efficiency import expected_return_risk
from praesidium.diagnostics.gap import invariance_gap, worst_group
from praesidium.experiments import store
from praesidium.reporting.tables import BASELINES

CRISIS = "crisis"
NAMES = [*store.NAMES]
SWEPT = ("training_risk", "validation_cvar95", "crisis_cvar95")
RISKS = ("risk", "penalty", "environment_risk")  # logged in units of the reference risk
SCALARS = ("risk", "penalty", "validation_risk", "gradient_norm", "cosine", "cross_cosine", "agreement", "misalignment")
BY_ENVIRONMENT = {"risks": "environment_risk", "head_norms": "head_norm", "noise_to_signal": "noise_to_signal"}


def read_curves(runs: Sequence[store.Entry], *, methods: Sequence[str] | None = None) -> pd.DataFrame:
    """Training logs of finished runs, one row a run, step and quantity.

    Quantities are those of the log; ``environment_risk``, ``head_norm`` and ``noise_to_signal`` have an environment.
    Risks and penalties are turned from units of the reference risk into units of the spot at inception.

    Args:
        runs: the finished runs.
        methods: the methods to read, if not all.

    Returns:
        ``dataset``, ``method``, ``seed``, ``step``, ``ramp``, ``quantity``, ``environment`` (missing where there is
        none), ``value``. No row where nothing was logged.

    Raises:
        InputError: if a log is damaged.
    """
    parts = []
    for run in runs:
        if (methods is None or run.settings["method"] in methods) and (run.folder / store.LOG).is_file():
            parts.append(_long(_log(run.folder), run.settings, run.metrics).assign(**run.names))
    columns = [*NAMES, "step", "ramp", "quantity", "environment", "value"]
    filled = [one for one in parts if len(one)]
    return pd.concat(filled, ignore_index=True).reindex(columns=columns) if filled else pd.DataFrame(columns=columns)


def read_sweep(runs: Sequence[store.Entry], *, weight: str = "objective.penalty", crisis: str = CRISIS) -> pd.DataFrame:
    """Risks of finished runs by the weight of their penalty.

    Args:
        runs: the finished runs, such as those of a folder for each weight.
        weight: setting that holds the weight. Plain ERM has weight 0; other runs without the setting are left out.
        crisis: the environment of the crisis.

    Returns:
        ``dataset``, ``method``, ``seed``, ``penalty``, and in units of the spot at inception ``training_risk`` (mean
        CVaR-95 of the training environments), ``validation_cvar95`` (mean over validation) and ``crisis_cvar95``.
    """
    rows = []
    for run in runs:
        chosen = 0.0 if run.settings["method"] in BASELINES else flatten(run.settings).get(weight)
        if chosen is not None:
            data = run.settings["data"]
            parts = zip(SWEPT, (data["train"], data["validation"], [crisis]), strict=True)
            risks = {name: _mean_risk(run.metrics, environments) for name, environments in parts}
            rows.append({**run.names, "penalty": float(chosen), **risks})
    return pd.DataFrame(rows, columns=[*NAMES, "penalty", *SWEPT])


def read_episodes(runs: Sequence[store.Entry], *, environment: str = CRISIS) -> pd.DataFrame:
    """Episodes of finished runs in one environment; runs without episodes are left out.

    Returns:
        ``dataset``, ``method``, ``seed``, ``episode``, ``pnl`` in units of the spot at inception.
    """
    kept = [run for run in runs if (run.folder / store.EPISODES).is_file()]
    columns, wanted = ["episode", "pnl"], [("environment", "==", environment)]
    parts = [pd.read_parquet(run.folder / store.EPISODES, columns=columns, filters=wanted) for run in kept]
    if not parts:
        return pd.DataFrame(columns=[*NAMES, "episode", "pnl"])
    # A grid has tens of millions of episodes: the names of their runs are kept as numbers.
    names = pd.DataFrame([run.names for run in kept]).astype({"dataset": "category", "method": "category"})
    names = names.loc[np.repeat(names.index, [len(one) for one in parts])].reset_index(drop=True)
    return pd.concat([names, pd.concat(parts, ignore_index=True)], axis=1)


def read_sensitivities(runs: Sequence[store.Entry]) -> pd.DataFrame:
    """How positions depend on each feature, of the finished runs that were probed.

    Returns:
        ``dataset``, ``method``, ``seed``, ``environment``, ``feature``, ``group`` (``phi`` or ``context``),
        ``sensitivity``: mean absolute slope of the position in the standardized feature.
    """
    rows = []
    for run in runs:
        groups = {feature: group for group in ("phi", "context") for feature in run.settings["state"][group]}
        for environment, slopes in run.metrics.get("probes", {}).get("sensitivity", {}).items():
            where = {**run.names, "environment": environment}
            rows += [{**where, "feature": one, "group": groups[one], "sensitivity": slopes[one]} for one in slopes]
    return pd.DataFrame(rows, columns=[*NAMES, "environment", "feature", "group", "sensitivity"])


def plane(cells: pd.DataFrame, *, crisis: str = CRISIS) -> pd.DataFrame:
    """Invariance, robustness and efficiency of each run, from its risks in the environments that were not trained on.

    Args:
        cells: as :func:`praesidium.reporting.tables.read_results` gives them; real windows do not count.
        crisis: the environment whose profit and risk make up the efficiency.

    Returns:
        ``dataset``, ``method``, ``seed``; ``ig``, ``worst_group`` and ``crisis_cvar95`` in units of the spot at
        inception; ``er`` and ``mean_pnl`` of the crisis. Missing where the environments do not tell.
    """
    rows = []
    for names, group in cells.query("role in ['validation', 'test']").groupby(NAMES, sort=False):
        risks = torch.tensor(group.cvar95.to_numpy(float))
        row: dict[str, Any] = dict(zip(NAMES, cast("tuple[Any, ...]", names), strict=True))
        row |= {"ig": invariance_gap(risks) if len(risks) > 1 else None, "worst_group": worst_group(risks)}
        for profit, risk in group.query("environment == @crisis")[["mean_pnl", "cvar95"]].to_numpy(float):
            row |= {"crisis_cvar95": risk, "mean_pnl": profit, "er": expected_return_risk(profit, risk)}
        rows.append(row)
    return pd.DataFrame(rows, columns=[*NAMES, "ig", "worst_group", "crisis_cvar95", "er", "mean_pnl"])


def _mean_risk(metrics: dict[str, Any], environments: Sequence[str]) -> float:
    """Mean CVaR-95; missing if that of one environment is."""
    return float(np.mean([metrics.get(f"metrics/cvar95/{name}", math.nan) for name in environments]))


def _log(folder: Path) -> pd.DataFrame:
    try:
        with (folder / store.LOG).open() as file:
            return pd.DataFrame([json.loads(line) for line in file])
    except json.JSONDecodeError:
        raise InputError(f"{folder / store.LOG}: cannot be read; delete the folder and run again") from None


def _long(log: pd.DataFrame, settings: dict[str, Any], metrics: dict[str, Any]) -> pd.DataFrame:
    """One row a step and quantity, risks in units of the spot."""
    keys = ["step", "ramp"]
    scalars = [name for name in SCALARS if name in log]
    parts = [log.melt(keys, scalars, var_name="quantity").assign(environment=None)] if scalars else []
    for name, quantity in BY_ENVIRONMENT.items():
        if name in log:
            there = log.dropna(subset=name)
            values = pd.DataFrame(there[name].tolist(), index=there.index)
            values.columns = _environments(settings, values.shape[1])
            wide = there[keys].join(values)
            parts.append(wide.melt(keys, list(values.columns), var_name="environment").assign(quantity=quantity))
    long = pd.concat(parts, ignore_index=True).dropna(subset="value") if parts else pd.DataFrame()
    if len(long) and settings["risk"]["scale"] == "reference":
        factor = long.quantity.isin(RISKS).map({True: metrics["training/reference_risk"], False: 1.0})
        long["value"] = long.value.astype(float) * factor
    return long


def _environments(settings: dict[str, Any], count: int) -> list[str]:
    """Names of what was logged as environments: those of the data, unless episodes were pooled or dealt out anew."""
    names = list(settings["data"]["train"])
    dealt = settings["train"].get("labels", "bands") != "bands"
    return names if len(names) == count and not dealt else [f"part {place + 1}" for place in range(count)]
