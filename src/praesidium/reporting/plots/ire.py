"""The plane of invariance, robustness and efficiency: what methods trade for what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from praesidium.reporting.plots.canvas import ALARM, BASIS_POINTS, DARK, GRAY, PALE, check, panels, save, title

INVARIANCE = {
    "isi": "invariance spectrum index ISI",
    "c2": "mechanistic stability C2",
    "ig": "invariance gap IG, bp of spot (reversed)",
}
ROBUSTNESS = {
    "worst_group": "CVaR-95 in the worst environment, bp of spot (reversed)",
    "crisis_cvar95": "crisis CVaR-95, bp of spot (reversed)",
}
IN_SPOT = ("ig", "worst_group", "crisis_cvar95")
REACHES = (7, 16, 28, 44, 64)  # from a point to its name, in points
OFFSETS = [(reach, x, y) for reach in REACHES for y in (1, -1, 0) for x in (1, -1, 0) if (x, y) != (0, 0)]


def ire_figure(runs: pd.DataFrame, path: Path, *, formats: Sequence[str] = ("png",)) -> Path | None:
    """Methods by invariance (x), robustness (y) and efficiency (color); up and to the right is better on both axes.

    Points are means over seeds, bars one standard deviation. Each axis takes the first measure that two methods have;
    methods without it are named, not drawn. ER ranks the wrong way where the mean PnL is negative, so that the mean
    stands beside the name.

    Args:
        runs: one row a method and seed of one data set: ``method``, ``er``, ``mean_pnl``; of ``isi``, ``c2`` and ``ig``
            at least one, of ``worst_group`` and ``crisis_cvar95`` too. Risks, gap and PnL in units of the spot at
            inception. See :func:`praesidium.reporting.curves.plane`.
        path: a ``.png`` file.
        formats: file formats to write.

    Returns:
        The file; None if no method has a measure for both axes.

    Raises:
        InputError: if a column is missing.
    """
    runs = check(runs, ("method", "er", "mean_pnl"), "ire_figure")
    x, y = _measure(runs, INVARIANCE), _measure(runs, ROBUSTNESS)
    if x is None or y is None:
        return None
    kept = [x, y, "er", "mean_pnl"]
    scale = [BASIS_POINTS if name in (*IN_SPOT, "mean_pnl") else 1.0 for name in kept]
    seeds = runs[["method"]].join(runs[kept].astype(float) * scale)
    means, spread = (getattr(seeds.groupby("method", sort=False), of)() for of in ("mean", "std"))
    drawn = means.dropna(subset=[x, y])
    if drawn.empty:
        return None
    figure, (axis,) = panels(1, size=(6.4, 4.6))
    _points(figure, axis, drawn[x], drawn[y], drawn.er, spread.loc[drawn.index])
    axis.set_xlabel(INVARIANCE[x], fontsize=9)
    axis.set_ylabel(ROBUSTNESS[y], fontsize=9)
    axis.margins(0.12)
    if x == "ig":
        axis.invert_xaxis()
    axis.invert_yaxis()
    left_out = [str(name) for name in means.index if name not in drawn.index]
    absent = f"\nwithout a measure: {', '.join(left_out)}" if left_out else ""
    title(figure, f"Invariance, robustness and efficiency: mean and deviation over seeds{absent}")
    _label(figure, axis, drawn[x], drawn[y], drawn.mean_pnl)
    return save(figure, path, formats)


def _measure(runs: pd.DataFrame, measures: dict[str, str]) -> str | None:
    """The first measure that two methods have, or the only one; None if there is none."""
    needed = min(2, runs.method.nunique())
    there = [name for name in measures if name in runs and runs[runs[name].notna()].method.nunique() >= needed]
    return there[0] if there and needed else None


def _points(
    figure: Figure, axis: Axes, x: pd.Series, y: pd.Series, efficiency: pd.Series, spread: pd.DataFrame
) -> None:
    """Dots with bars; a method without an efficiency is a ring."""
    axis.errorbar(
        x, y, xerr=spread[x.name], yerr=spread[y.name], fmt="none", ecolor=GRAY, elinewidth=0.8, capsize=2, zorder=1
    )
    known = efficiency.notna()
    axis.plot(x[~known], y[~known], "o", markerfacecolor="white", markeredgecolor=GRAY, markersize=7)
    if known.any():
        colors = LinearSegmentedColormap.from_list("efficiency", [ALARM, PALE, DARK])
        low, high = efficiency.min(), efficiency.max()
        norm = Normalize(low, high) if high > low else Normalize(low - 0.5, high + 0.5)
        dots = axis.scatter(x[known], y[known], c=efficiency[known], cmap=colors, norm=norm, s=55, zorder=2)
        bar = figure.colorbar(dots, ax=axis, shrink=0.6, pad=0.02)
        bar.set_label("crisis ER = mean PnL / CVaR-95", fontsize=8)
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_visible(False)


def _label(figure: Figure, axis: Axes, x: pd.Series, y: pd.Series, mean_pnl: pd.Series) -> None:
    """Write each name at the first place around its point that is free of points and of other names."""
    figure.draw_without_rendering()
    places = axis.transData.transform(np.column_stack([x, y]))
    pixel = figure.dpi / 72
    taken = [Bbox.from_bounds(*(place - 5 * pixel), 10 * pixel, 10 * pixel) for place in places]
    for name, point in zip(x.index, zip(x, y, strict=True), strict=True):
        shown = f"{name} ({mean_pnl[name]:+.0f} bp)" if pd.notna(mean_pnl[name]) else str(name)
        text = axis.annotate(shown, point, (0, 0), textcoords="offset points", fontsize=8, annotation_clip=False)
        for reach, right, up in OFFSETS:
            text.set_position((reach * right, reach * up))
            text.set_horizontalalignment({1: "left", -1: "right", 0: "center"}[right])
            text.set_verticalalignment({1: "bottom", -1: "top", 0: "center"}[up])
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken) and _inside(box, figure):
                break
        taken.append(text.get_window_extent())


def _inside(box: Bbox, figure: Figure) -> bool:
    return box.x0 > 0 and box.y0 > 0 and box.x1 < figure.bbox.x1 and box.y1 < figure.bbox.y1
