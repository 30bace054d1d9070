"""Sweep of the penalty weight: what invariance costs in training and what it buys elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from praesidium.reporting.plots.canvas import (
    BASIS_POINTS,
    GRAY,
    Look,
    check,
    legend,
    looks,
    panels,
    save,
    title,
)
from praesidium.reporting.tables import BASELINE

RISKS = {
    "training_risk": "training CVaR-95",
    "validation_cvar95": "validation CVaR-95",
    "crisis_cvar95": "crisis CVaR-95",
}
STEP = 1.07  # factor between the dots of methods at the same weight, lest they cover each other


def sweep_figure(runs: pd.DataFrame, path: Path, *, formats: Sequence[str] = ("png",)) -> Path | None:
    """Risk in training, in validation and in the crisis by the weight of the penalty; lower is better.

    Lines join means over seeds, dots are seeds. Runs of weight 0 are plain ERM: the gray level, with its range over
    seeds.

    Args:
        runs: as :func:`praesidium.reporting.curves.read_sweep` gives them, of one data set: ``method``, ``seed``,
            ``penalty`` (at least 0), ``training_risk``, ``validation_cvar95``, ``crisis_cvar95``, in units of the
            spot at inception.
        path: a ``.png`` file.
        formats: file formats to write.

    Returns:
        The file; None if no run has a positive weight.

    Raises:
        InputError: if a column is missing.
    """
    runs = check(runs, ("method", "seed", "penalty", *RISKS), "sweep_figure")
    swept, plain = runs.query("penalty > 0"), runs.query("penalty == 0")
    measured = [name for name in RISKS if not np.isnan(swept[name].to_numpy(float)).all()]
    if not measured:
        return None
    figure, axes = panels(len(measured), size=(3.8, 3.2))
    shown = looks(swept.method.unique())
    for axis, name in zip(axes, measured, strict=True):
        _level(axis, plain[name].to_numpy(float) * BASIS_POINTS)
        _lines(axis, swept.assign(risk=swept[name] * BASIS_POINTS), shown)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_title(RISKS[name], loc="left", fontsize=10)
        axis.set_xlabel("weight of the penalty", fontsize=9)
    axes[0].set_ylabel("bp of spot", fontsize=9)
    legend(figure, shown | ({BASELINE: Look(GRAY, "--")} if len(plain) else {}))
    title(figure, "Risk by the weight of the penalty: means and seeds")
    return save(figure, path, formats)


def _level(axis: Axes, risks: NDArray[np.float64]) -> None:
    """Plain ERM: the mean, and the range over seeds."""
    if len(risks) and not np.isnan(risks).any():
        axis.axhspan(risks.min(), risks.max(), color=GRAY, alpha=0.15, linewidth=0)
        axis.axhline(risks.mean(), color=GRAY, linewidth=1, linestyle="--")


def _lines(axis: Axes, swept: pd.DataFrame, shown: dict[str, Look]) -> None:
    """Mean line and dots of each method."""
    for place, (name, rows) in enumerate(swept.groupby("method", sort=False)):
        look = shown[str(name)]
        means = rows.groupby("penalty").risk.mean()
        axis.plot(means.index, means, color=look.color, linestyle=look.line, linewidth=1.4, marker="_", markersize=9)
        aside = STEP ** (place - (len(shown) - 1) / 2)
        axis.plot(rows.penalty * aside, rows.risk, "o", color=look.color, markersize=3.5, markeredgewidth=0, alpha=0.6)
