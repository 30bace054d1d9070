"""Price and filtered regimes on one axis of time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from praesidium.component import InputError
from praesidium.reporting.plots.canvas import DARK, GRAY, price_axis, save, title

PALETTE = LinearSegmentedColormap.from_list("calm to wild", ["#bfd3e3", "#f0e3c2", "#dd9a5a", "#b5402a"])
SIZE = (10.0, 5.2)
MOST = 5  # names in a row of the legend


def regime_colors(count: int) -> list[tuple[float, float, float, float]]:
    """A color for each regime, from the calmest to the wildest."""
    return [PALETTE(place) for place in np.linspace(0, 1, max(count, 2))[:count]]


def regimes_figure(
    prices: pd.Series,
    probabilities: pd.DataFrame,
    path: Path,
    *,
    volatilities: Sequence[float],
    heading: str,
    fitted_until: pd.Timestamp | int | None = None,
    formats: Sequence[str] = ("png",),
) -> Path:
    """The price, shaded by the regime it was in as far as one could tell, over the probabilities of all regimes.

    Args:
        prices: positive; the index is the time of both panels.
        probabilities: a column for each regime, the calmest first, on days of ``prices``; NaN where unknown.
        path: a ``.png`` file.
        volatilities: annualized, of each regime, for the legend.
        heading: above the figure.
        fitted_until: last day that the model was fitted on; what follows is out of sample.
        formats: file formats to write.

    Raises:
        InputError: if a price is not positive or the regimes and their volatilities do not match.
    """
    if not (prices > 0).all():
        raise InputError("prices: some are missing or not positive; a logarithmic axis needs prices above 0")
    if probabilities.shape[1] != len(volatilities):
        raise InputError(
            f"volatilities: {len(volatilities)} for {probabilities.shape[1]} regimes; give one for each regime"
        )
    figure = Figure(figsize=SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
    colors = regime_colors(len(volatilities))
    days = probabilities.index
    _shade(upper, probabilities, colors)
    upper.plot(prices.index, prices.to_numpy(), color=DARK, linewidth=0.9)
    price_axis(upper, float(prices.min()), float(prices.max()))
    upper.set_ylabel("price, log scale", fontsize=8)
    lower.stackplot(days, probabilities.to_numpy().T, colors=colors, linewidth=0)
    lower.set_ylim(0, 1)
    lower.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    lower.set_ylabel("filtered probability", fontsize=8)
    for axis in (upper, lower):
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
        axis.margins(x=0)
        if fitted_until is not None:
            axis.axvline(cast(float, fitted_until), color=GRAY, linewidth=1, linestyle="--")
    if fitted_until is not None:
        upper.annotate(
            "out of sample \N{RIGHTWARDS ARROW}",
            (cast(float, fitted_until), 0.02),
            xycoords=("data", "axes fraction"),
            xytext=(4, 0),
            textcoords="offset points",
            fontsize=8,
            color=GRAY,
        )
    names = [f"regime {number}: {level:.0%} a year" for number, level in enumerate(volatilities)]
    handles = [Patch(color=color, label=name) for color, name in zip(colors, names, strict=True)]
    figure.legend(handles=handles, loc="outside lower left", ncols=min(len(handles), MOST), frameon=False, fontsize=8)
    title(figure, heading)
    return save(figure, path, formats)


def _shade(axis: Axes, probabilities: pd.DataFrame, colors: Sequence[tuple[float, float, float, float]]) -> None:
    """Runs of the most likely regime as bands; no band where nothing is known."""
    known = probabilities.notna().all(axis=1).to_numpy()
    filled = probabilities.fillna(0).to_numpy()
    likely = np.where(known, filled.argmax(axis=1), -1)
    edges = np.flatnonzero(np.diff(likely)) + 1
    firsts, ends = np.append(0, edges), np.append(edges, len(likely))
    days = probabilities.index
    for first, end in zip(firsts.tolist(), ends.tolist(), strict=True):
        if likely[first] >= 0:
            axis.axvspan(
                days[first], days[min(end, len(days) - 1)], color=colors[int(likely[first])], alpha=0.45, linewidth=0
            )
