"""The plane of invariance, robustness and efficiency: what methods trade for what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox, BboxBase
from numpy.typing import NDArray

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
REACHES = (7, 16, 28, 44, 64, 88, 116)  # from a point to its name, in points
OFFSETS = [(reach, x, y) for reach in REACHES for y in (1, -1, 0) for x in (1, -1, 0) if (x, y) != (0, 0)]


def ire_figure(runs: pd.DataFrame, path: Path, *, formats: Sequence[str] = ("png",)) -> Path | None:
    """Methods by invariance (x), robustness (y) and efficiency (color); up and to the right is better on both axes.

    Points are means over seeds, bars one standard deviation. Each axis takes the first measure that two methods have;
    methods without it are named, not drawn. ER ranks the wrong way where the mean PnL is negative, so that the mean
    stands beside the name, and with it how many seeds have the measure of invariance if not all do.

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
    seeds = (runs[kept].astype(float) * scale).assign(method=runs.method)
    by_method = seeds.groupby("method", sort=False)
    means, spread = pd.DataFrame(by_method[kept].mean()), pd.DataFrame(by_method[kept].std())
    drawn = means.dropna(subset=[x, y])
    if drawn.empty:
        return None
    figure, (axis,) = panels(1, size=(7.4, 5.4))
    bars = {"ecolor": GRAY, "elinewidth": 0.8, "capsize": 2, "zorder": 1}
    spread = spread.loc[drawn.index]
    axis.errorbar(drawn[x], drawn[y], xerr=spread[x], yerr=spread[y], fmt="none", **bars)
    _points(figure, axis, drawn[[x, y]].to_numpy(), drawn.er.to_numpy())
    axis.set_xlabel(INVARIANCE[x], fontsize=9)
    axis.set_ylabel(ROBUSTNESS[y], fontsize=9)
    axis.margins(0.12)
    if x == "ig":
        axis.invert_xaxis()
    axis.invert_yaxis()
    left_out = [str(name) for name in means.index if name not in drawn.index]
    absent = f"\nwithout a measure: {', '.join(left_out)}" if left_out else ""
    title(figure, f"Invariance, robustness and efficiency: mean and deviation over seeds{absent}")
    _label(
        figure,
        axis,
        drawn[[x, y]].to_numpy(),
        [_name(name, rows, x) for name, rows in by_method if name in drawn.index],
    )
    return save(figure, path, formats)


def _measure(runs: pd.DataFrame, measures: dict[str, str]) -> str | None:
    """The first measure that two methods have, or the only one; None if there is none."""
    needed = min(2, runs.method.nunique())
    there = [name for name in measures if name in runs and runs.dropna(subset=name).method.nunique() >= needed]
    return there[0] if there and needed else None


def _name(method: object, seeds: pd.DataFrame, measure: str) -> str:
    """The name of a method, with its mean PnL and the seeds that its invariance is known of."""
    mean, known = float(seeds.mean_pnl.mean()), len(seeds.dropna(subset=measure))
    facts = [] if np.isnan(mean) else [f"{mean:+.0f} bp"]
    facts += [f"{known}/{len(seeds)} seeds"] if known < len(seeds) else []
    return f"{method} ({', '.join(facts)})" if facts else str(method)


def _points(figure: Figure, axis: Axes, points: NDArray[np.float64], efficiency: NDArray[np.float64]) -> None:
    """Dots by efficiency; a ring where it is missing."""
    known = ~np.isnan(efficiency)
    axis.plot(*points[~known].T, "o", markerfacecolor="white", markeredgecolor=GRAY, markersize=7)
    if known.any():
        colors = LinearSegmentedColormap.from_list("efficiency", [ALARM, PALE, DARK])
        low, high = efficiency[known].min(), efficiency[known].max()
        norm = Normalize(low, high) if high > low else Normalize(low - 0.5, high + 0.5)
        dots = axis.scatter(*points[known].T, c=efficiency[known], cmap=colors, norm=norm, s=55, zorder=2)
        bar = figure.colorbar(dots, ax=axis, shrink=0.6, pad=0.02)
        bar.set_label("crisis ER = mean PnL / CVaR-95", fontsize=8)
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_visible(False)


def _label(figure: Figure, axis: Axes, points: NDArray[np.float64], names: Sequence[str]) -> None:
    """Write each name at the first place around its point that is free of points and of other names."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # or the names would move the axes, and with them each other's places
    pixel = figure.dpi / 72
    taken: list[BboxBase] = [Bbox([place - 5 * pixel, place + 5 * pixel]) for place in axis.transData.transform(points)]
    taken += [box for one in _fixtures(figure, axis) if (box := one.get_tightbbox())]
    for name, (x, y) in zip(names, points.tolist(), strict=True):
        text = axis.annotate(name, (x, y), (0, 0), textcoords="offset points", fontsize=8)
        reach = _move(text, taken, figure)
        taken.append(text.get_window_extent())
        if reach > REACHES[0]:
            line = {"arrowstyle": "-", "color": GRAY, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
            axis.annotate("", (x, y), text.get_position(), textcoords="offset points", arrowprops=line)


def _fixtures(figure: Figure, axis: Axes) -> list[Artist]:
    """What names must not cover: the title, the labels of both axes and the color bar."""
    return [axis.xaxis, axis.yaxis, *figure.texts, *(one for one in figure.axes if one is not axis)]


def _move(text: Annotation, taken: Sequence[BboxBase], figure: Figure) -> int:
    """Move a name to the first free place, or the last; its distance from the point."""
    for reach, right, up in OFFSETS:
        text.set_position((reach * right, reach * up))
        text.set(ha=("center", "left", "right")[right], va=("center", "bottom", "top")[up])
        box = text.get_window_extent()
        inside = figure.bbox.contains(*box.p0) and figure.bbox.contains(*box.p1)
        if inside and not any(box.overlaps(other) for other in taken):
            return reach
    return REACHES[-1]
