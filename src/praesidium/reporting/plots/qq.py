"""QQ plot of crisis PnL: where in the distribution a method gains on its reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from praesidium.component import InputError
from praesidium.reporting.plots.canvas import ALARM, BASIS_POINTS, GRAY, PALE, check, panels, save, title
from praesidium.reporting.tables import BASELINES

POINTS = 1000  # quantiles that are drawn


def qq_figure(
    episodes: pd.DataFrame,
    path: Path,
    *,
    reference: str | None = None,
    tail: float = 0.05,
    formats: Sequence[str] = ("png",),
) -> Path | None:
    """Quantiles of each method's PnL against those of the reference, a panel a method; above the diagonal is better.

    Episodes are pooled over seeds. The worst quantiles are red, and their means stand in the panel.

    Args:
        episodes: one row a method, seed and episode of one environment: ``method``, ``pnl`` in units of the spot at
            inception.
        path: a ``.png`` file.
        reference: the method that the others are held against; if not given, plain ERM.
        tail: share of episodes that counts as worst, in (0, 1).
        formats: file formats to write.

    Returns:
        The file; None if the reference or every other method is missing.

    Raises:
        InputError: if a column is missing, or ``tail`` is not a fraction.
    """
    episodes = check(episodes, ("method", "pnl"), "qq_figure")
    if not 0 < tail < 1:
        raise InputError(f"qq_figure: tail={tail:g} is not a fraction in (0, 1); for the worst 5 % say tail=0.05")
    pooled = {
        str(name): rows.to_numpy(float) * BASIS_POINTS
        for name, rows in episodes.groupby("method", sort=False, observed=True).pnl
    }
    reference = reference or next((name for name in BASELINES if name in pooled), BASELINES[0])
    base = pooled.pop(reference, None)
    if base is None or not pooled:
        return None
    figure, axes = panels(len(pooled), share=True)
    for axis, (name, pnl) in zip(axes, pooled.items(), strict=True):
        _panel(axis, pnl, base, tail)
        axis.set_title(name, loc="left", fontsize=10)
    figure.supxlabel(f"PnL quantile of {reference}, bp of spot", fontsize=9)
    figure.supylabel("PnL quantile, bp of spot", fontsize=9)
    title(figure, f"Crisis PnL against {reference}, seeds pooled; worst {tail:.0%} in red")
    return save(figure, path, formats)


def _panel(axis: Axes, pnl: NDArray[np.float64], base: NDArray[np.float64], tail: float) -> None:
    """One method: its quantiles, the diagonal, the means of both tails."""
    count = min(len(pnl), len(base), POINTS)
    shares = (np.arange(count) + 0.5) / count
    across, up = np.quantile(base, shares), np.quantile(pnl, shares)
    worst = shares < tail
    ends = [min(across[0], up[0]), max(across[-1], up[-1])]
    axis.plot(ends, ends, color=GRAY, linewidth=0.8, zorder=0)
    axis.plot(across[~worst], up[~worst], "o", color=PALE, markersize=2.5, markeredgewidth=0)
    axis.plot(across[worst], up[worst], "o", color=ALARM, markersize=3, markeredgewidth=0)
    mine, theirs = (np.sort(one)[: max(1, round(tail * len(one)))].mean() for one in (pnl, base))
    text = f"mean of the worst {tail:.0%}\n{mine:.0f} bp, reference {theirs:.0f} bp"
    axis.text(0.98, 0.03, text, transform=axis.transAxes, ha="right", fontsize=8, color=ALARM)
    axis.set_aspect("equal")
    axis.locator_params(nbins=5)
