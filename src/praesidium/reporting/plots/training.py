"""Training curves: risks and alignment by step, over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from praesidium.component import InputError
from praesidium.diagnostics.isi import NOISE_LIMIT
from praesidium.reporting.plots.canvas import (
    ALARM,
    BASIS_POINTS,
    GRAY,
    SHADE,
    Look,
    check,
    legend,
    looks,
    panels,
    save,
    title,
)

COLUMNS = ("method", "seed", "step", "ramp", "quantity", "environment", "value")
RISKS = {"risk": "mean training risk", "penalty": "penalty, weighted", "validation_risk": "validation CVaR-95"}
ALIGNMENT = {
    "cosine": "cosine of one batch",
    "cross_cosine": "cosine of two halves",
    "agreement": "agreement |mean g| / mean |g|",
    "noise_to_signal": "noise to signal, noisiest environment",
}
SETTLED = 0.1  # share of the steps after which a curve must fit into its panel


def training_figure(
    curves: pd.DataFrame, path: Path, *, window: int = 20, formats: Sequence[str] = ("png",)
) -> Path | None:
    """Training risk, penalty, validation risk and the risk of each environment by step.

    Lines are medians over seeds, bands their quartiles, both of means over the last steps. Panels are cut to what
    happens after the first tenth of the steps; penalties stand on a logarithmic axis.

    Args:
        curves: as :func:`praesidium.reporting.curves.read_curves` gives them, of one data set: ``method``, ``seed``,
            ``step``, ``ramp``, ``quantity``, ``environment``, ``value`` in units of the spot at inception.
        path: a ``.png`` file.
        window: steps that a mean is over, at least 1.
        formats: file formats to write.

    Returns:
        The file; None if no risk was logged.

    Raises:
        InputError: if a column is missing, or a seed has two values at a step.
    """
    curves = _checked(curves, "training_figure")
    drawn = [(text, _moving(curves.query("quantity == @name"))) for name, text in RISKS.items()]
    by_environment = curves.query("quantity == 'environment_risk'").groupby("environment", sort=False)
    drawn += [(f"training risk, {name}", rows) for name, rows in by_environment]
    drawn = [(text, rows) for text, rows in drawn if len(rows)]
    if not drawn:
        return None
    figure, axes = panels(len(drawn))
    shown = looks(curves.method.unique())
    for axis, (text, rows) in zip(axes, drawn, strict=True):
        _shade(axis, curves)
        # A validation is a value every so many steps, and of so many episodes that it needs no smoothing.
        sparse = (rows.quantity == "validation_risk").all()
        _bands(axis, rows.assign(value=rows.value * BASIS_POINTS), shown, window=1 if sparse else window)
        if (rows.quantity == "penalty").all():
            axis.set_yscale("log", nonpositive="mask")
        else:
            _cut(axis, after=SETTLED * curves.step.max())
        axis.set_title(text, loc="left", fontsize=10)
        axis.set_ylabel("bp of spot", fontsize=8)
    _finish(axes, curves)
    legend(figure, shown)
    title(figure, "Training: median and quartiles over seeds; the penalty rises over the shaded steps")
    return save(figure, path, formats)


def alignment_figure(
    curves: pd.DataFrame, path: Path, *, window: int = 20, formats: Sequence[str] = ("png",)
) -> Path | None:
    """How far the head gradients of the environments agree by step, and how much of them is noise.

    Arguments, errors and lines are those of :func:`training_figure`, but for medians over the last steps: a cosine of
    two halves has no bounds where noise drowns the gradients. The quantities have no unit. Above a noise to signal of
    0.5, the red line, a cosine of that step tells little.

    Returns:
        The file; None if no method logged an alignment.
    """
    curves = _checked(curves, "alignment_figure")
    # Over environments, the largest: one gradient of noise spoils all cosines with it.
    keys = ["method", "seed", "step", "quantity"]
    logged = curves.query("quantity in @ALIGNMENT").groupby(keys, sort=False, as_index=False).value.max()
    drawn = [(name, text, logged.query("quantity == @name")) for name, text in ALIGNMENT.items()]
    drawn = [one for one in drawn if len(one[2])]
    if not drawn:
        return None
    figure, axes = panels(len(drawn))
    shown = looks(logged.method.unique())
    for axis, (name, text, rows) in zip(axes, drawn, strict=True):
        _shade(axis, curves)
        _bands(axis, rows, shown, window=window, over="median")
        axis.set_title(text, loc="left", fontsize=10)
        if name == "noise_to_signal":
            axis.set_yscale("log")
            axis.yaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_minor_formatter("")
            low, high = axis.get_ylim()
            axis.set_ylim(min(low, 0.09), max(high, 1.1))
            axis.axhline(NOISE_LIMIT, color=ALARM, linewidth=1, linestyle="--", zorder=0)
        elif name == "agreement":
            axis.set_ylim(0, 1.02)
        else:
            axis.set_ylim(-1.05, 1.05)
            axis.axhline(0, color=GRAY, linewidth=0.6, zorder=0)
    _finish(axes, curves)
    legend(figure, shown)
    title(figure, "Head gradients: median and quartiles over seeds; the penalty rises over the shaded steps")
    return save(figure, path, formats)


def _checked(curves: pd.DataFrame, caller: str) -> pd.DataFrame:
    checked = check(curves, COLUMNS, caller)
    if checked.duplicated(["method", "seed", "step", "quantity", "environment"]).any():
        raise InputError(
            f"{caller}: a seed has two values at one step; give the runs of each method a name of their own"
        )
    return checked


def _moving(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the methods whose value is not zero throughout."""
    moving = rows.query("value != 0").method.unique()
    return rows.loc[rows.method.isin(moving)]


def _bands(
    axis: Axes,
    rows: pd.DataFrame,
    shown: dict[str, Look],
    *,
    window: int,
    over: Literal["mean", "median"] = "mean",
) -> None:
    """Median line and quartile band of each method, of what the last steps were on average."""
    for name, mine in rows.groupby("method", sort=False):
        table = mine.pivot(index="step", columns="seed", values="value").sort_index()
        table = pd.DataFrame(table.rolling(window, min_periods=1).agg(over))
        low, middle, high = np.nanquantile(table.to_numpy(float), (0.25, 0.5, 0.75), axis=1)
        look = shown[str(name)]
        axis.fill_between(table.index, low, high, color=look.color, alpha=0.18, linewidth=0)
        axis.plot(table.index, middle, color=look.color, linestyle=look.line, linewidth=1.3)


def _cut(axis: Axes, *, after: float) -> None:
    """Limit the axis to what its lines do once they have settled."""
    points = np.concatenate([np.asarray(line.get_xydata()) for line in axis.lines])
    values = points[(points[:, 0] > after) & np.isfinite(points[:, 1]), 1]
    if len(values):
        margin = 0.15 * np.ptp(values) or 0.05 * abs(values[0]) or 1.0
        axis.set_ylim(values.min() - margin, values.max() + margin)


def _shade(axis: Axes, curves: pd.DataFrame) -> None:
    """Shade the steps over which the penalty rises, if they are the same in all runs."""
    steps = curves.query("0 < ramp < 1").groupby(["method", "seed"]).step
    starts, ends = set(steps.min()), set(steps.max())
    if len(starts) == len(ends) == 1:
        axis.axvspan(starts.pop(), ends.pop(), color=SHADE, zorder=-1)


def _finish(axes: Sequence[Axes], curves: pd.DataFrame) -> None:
    for axis in axes:
        axis.set_xlim(0, curves.step.max())
        axis.set_xlabel("step", fontsize=8)
