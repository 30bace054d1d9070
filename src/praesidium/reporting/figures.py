"""Figures of a study."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pandas as pd

mpl.use("Agg")
from matplotlib import pyplot as plt

CRISIS = "crisis"
BAR, DOT, REFERENCE = "#9db8d2", "#1f3b57", "#b5402a"


def crisis_figure(cells: pd.DataFrame, summary: pd.DataFrame, path: Path) -> Path | None:
    """Crisis CVaR-95 by method: bars are means with one standard error, dots are seeds, the line is delta.

    Args:
        cells: one row a data set, method, seed and environment.
        summary: their means, in the order in which they are to stand.
        path: a ``.png`` file.

    Returns:
        The file; None if no data set has a crisis environment.
    """
    datasets = [name for name, rows in summary.groupby("dataset", sort=False) if CRISIS in set(rows.environment)]
    if not datasets:
        return None
    figure, axes = plt.subplots(
        1, len(datasets), figsize=(1.2 + 4.6 * len(datasets), 4.2), squeeze=False, layout="constrained"
    )
    for axis, dataset in zip(axes[0], datasets, strict=True):
        means = summary.query("dataset == @dataset and environment == @CRISIS").set_index("method")
        order = [name for name in means.index if name != "no_hedge"]
        dots = cells.query("dataset == @dataset and environment == @CRISIS")
        height = means.cvar95.reindex(order) * 100
        axis.bar(order, height, yerr=means.cvar95_se.reindex(order) * 100, color=BAR, ecolor=DOT, capsize=3, width=0.65)
        by_method = dict(iter(dots.sort_values("seed").groupby("method")))
        for place, name in enumerate(order):
            losses = by_method[name].cvar95 * 100
            spread = [place + 0.25 * (2 * number / max(len(losses) - 1, 1) - 1) for number in range(len(losses))]
            axis.plot(spread, losses, "o", color=DOT, markersize=3.5, markeredgewidth=0, zorder=3)
        if "delta" in means.index:
            axis.axhline(means.cvar95["delta"] * 100, color=REFERENCE, linewidth=1, linestyle="--", zorder=0)
        naked = f"; no hedge {means.cvar95['no_hedge'] * 100:.1f} %" if "no_hedge" in means.index else ""
        axis.set_title(f"{dataset}{naked}", loc="left", fontsize=10)
        axis.tick_params(axis="x", rotation=40)
        plt.setp(axis.get_xticklabels(), ha="right", rotation_mode="anchor")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("crisis CVaR-95 of a 60-day hedge, % of spot")
    scratch = path.with_suffix(".partial.png")
    figure.savefig(scratch, dpi=160)
    plt.close(figure)
    scratch.replace(path)
    return path
