"""Figure of a volatility surface before and after arbitrage is removed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from praesidium.component import InputError
from praesidium.pricing.surface import Surface
from praesidium.pricing.svi import Slice
from praesidium.reporting.plots.canvas import ALARM, DARK, GRAY, PALE, check, panels, save, title

SHADES = LinearSegmentedColormap.from_list("maturities", [PALE, "#4a7fb0", DARK])
ROWS = {"before": "as fitted", "after": "without arbitrage"}
HIGHEST = 1.6  # of Durrleman's function that is drawn; Black-Scholes has 1
BEYOND = 0.15  # of the width of the quotes that is drawn on either side of them
POINTS = 801
PALENESS = 0.35  # of the red
DAYS = 365  # of a calendar year

Array = NDArray[np.float64]


def surface_figure(
    before: Surface, after: Surface, quotes: pd.DataFrame, path: Path, *, formats: Sequence[str] = ("png",)
) -> Path | None:
    """Volatility, total variance and Durrleman's function of each slice, before above after.

    Red is arbitrage: on the total variance where a slice runs below an earlier one, on Durrleman's function where it
    is negative. Dots are quotes.

    Args:
        before: as fitted.
        after: the same maturities without arbitrage.
        quotes: one row a quote: ``tau`` in years, ``k`` the log of strike over forward, ``volatility`` annual, in
            decimals.
        path: a ``.png`` file.
        formats: file formats to write.

    Returns:
        The file; None if there are no quotes.

    Raises:
        InputError: if a column is missing, or the surfaces differ in their maturities.
    """
    quotes = check(quotes, ("tau", "k", "volatility"), "surface_figure")
    if [one.tau for one in before.slices] != [one.tau for one in after.slices]:
        raise InputError("surface_figure: before and after differ in their maturities; pass a surface and its mend")
    if quotes.empty:
        return None
    margin = BEYOND * max(float(np.ptp(quotes.k)), 0.1)
    k = np.linspace(quotes.k.min() - margin, quotes.k.max() + margin, POINTS)
    figure, axes = panels(6, columns=3, size=(3.5, 2.7))
    for row, (one, text) in enumerate(zip((before, after), ROWS.values(), strict=True)):
        smiles, variances, functions = axes[3 * row : 3 * row + 3]
        _smiles(smiles, one, quotes, k)
        _variances(variances, one, k)
        _functions(functions, one, k)
        smiles.set_title(f"implied volatility, {text}", loc="left", fontsize=10)
        variances.set_title("total variance", loc="left", fontsize=10)
        functions.set_title("Durrleman's g", loc="left", fontsize=10)
    for above, below in zip(axes[:3], axes[3:], strict=True):
        limits = np.array([above.get_ylim(), below.get_ylim()])
        for axis in (above, below):
            axis.set_ylim(limits[:, 0].min(), limits[:, 1].max())
        below.set_xlabel("log of strike over forward", fontsize=9)
    _legend(figure, before)
    title(figure, "A surface before and after arbitrage is removed; arbitrage in red")
    return save(figure, path, formats)


def _color(surface: Surface, number: int) -> tuple[float, float, float, float]:
    """From pale to dark by maturity."""
    return SHADES(number / max(len(surface.slices) - 1, 1))


def _legend(figure: Figure, surface: Surface) -> None:
    """Maturities, the quotes and the red, below all panels."""
    handles: list[Artist] = [
        Line2D([], [], color=_color(surface, number), linewidth=1.5, label=_life(one))
        for number, one in enumerate(surface.slices)
    ]
    handles.append(Line2D([], [], color=GRAY, marker="o", markersize=4, linestyle="", label="quotes"))
    handles.append(Patch(color=ALARM, alpha=PALENESS, linewidth=0, label="arbitrage"))
    figure.legend(handles=handles, loc="outside lower left", ncols=8, frameon=False, fontsize=8)


def _smiles(axis: Axes, surface: Surface, quotes: pd.DataFrame, k: Array) -> None:
    """Volatility in percent, solid over the quotes of a slice and dotted beyond."""
    for number, one in enumerate(surface.slices):
        color, mine = _color(surface, number), quotes[np.isclose(quotes.tau, one.tau, rtol=1e-9, atol=0)]
        percent = 100 * np.asarray(one.volatility(k))
        quoted = (k >= mine.k.min()) & (k <= mine.k.max())
        axis.plot(k, np.where(quoted, np.nan, percent), color=color, linewidth=0.9, linestyle=":")
        axis.plot(k, np.where(quoted, percent, np.nan), color=color, linewidth=1.5)
        axis.plot(mine.k, 100 * mine.volatility, "o", color=color, markersize=3, markeredgecolor="white", mew=0.4)
    axis.yaxis.set_major_formatter("{x:g} %")


def _variances(axis: Axes, surface: Surface, k: Array) -> None:
    """Total variance, red where an earlier slice lies above."""
    highest = np.zeros_like(k)
    for number, one in enumerate(surface.slices):
        w = np.asarray(one.total_variance(k))
        axis.plot(k, w, color=_color(surface, number), linewidth=1.5)
        axis.fill_between(k, w, highest, where=(w < highest).tolist(), color=ALARM, alpha=PALENESS, linewidth=0)
        axis.plot(k, np.where(w < highest, w, np.nan), color=ALARM, linewidth=1.8)
        highest = np.maximum(highest, w)
    axis.set_ylim(bottom=0)


def _functions(axis: Axes, surface: Surface, k: Array) -> None:
    """Durrleman's function, shaded where it is negative."""
    lowest = -0.1
    for number, one in enumerate(surface.slices):
        g = np.asarray(one.durrleman(k))
        axis.plot(k, g, color=_color(surface, number), linewidth=1.5)
        axis.fill_between(k, g, 0, where=(g < 0).tolist(), color=ALARM, alpha=PALENESS, linewidth=0)
        axis.plot(k, np.where(g < 0, g, np.nan), color=ALARM, linewidth=1.8)
        lowest = min(lowest, 1.15 * float(g.min()))
    axis.axhline(0, color=GRAY, linewidth=0.6, zorder=0)
    axis.set_ylim(lowest, HIGHEST)


def _life(one: Slice) -> str:
    days = round(DAYS * one.tau)
    return f"{days} days" if days < DAYS else "1 year" if days == DAYS else f"{one.tau:.3g} years"
