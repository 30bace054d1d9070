"""Wealth and drawdown of strategies over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from praesidium.component import InputError
from praesidium.reporting.plots import canvas
from praesidium.reporting.plots.canvas import DARK, GRAY, HUES, panels, price_axis, save, title

SIZE = (4.1, 3.5)
BEHIND = (GRAY, "#c9c9c9")


def equity_figure(
    returns: pd.DataFrame,
    groups: Mapping[str, Sequence[str]],
    path: Path,
    *,
    heading: str,
    footnote: str,
    references: Sequence[str] = (),
    formats: Sequence[str] = ("png",),
) -> Path:
    """Wealth that 1 has become, on a logarithmic axis, a panel for each group.

    Args:
        returns: simple returns net of costs, by day, a column for each strategy.
        groups: up to eight strategies for each panel, by its title.
        path: a ``.png`` file.
        heading: above all panels.
        footnote: below them.
        references: up to two strategies, drawn in gray in the panels of the others.
        formats: file formats to write.

    Raises:
        InputError: if a strategy has no returns.
    """
    wealth = (1 + _checked(returns, groups, references)).cumprod()
    low, high = float(wealth.min().min()), float(wealth.max().max())

    def finish(axis: Axes) -> None:
        price_axis(axis, low, high)
        axis.legend(loc="upper left", fontsize=7, frameon=False)

    names = {name: str(name) for name in wealth}
    return _figure(wealth, names, groups, references, finish, path, heading, footnote, formats)


def drawdown_figure(
    returns: pd.DataFrame,
    groups: Mapping[str, Sequence[str]],
    path: Path,
    *,
    heading: str,
    footnote: str,
    references: Sequence[str] = (),
    formats: Sequence[str] = ("png",),
) -> Path:
    """Fall of wealth from its peak so far, the start included; the arguments are those of :func:`equity_figure`."""
    wealth = (1 + _checked(returns, groups, references)).cumprod()
    drawdown = wealth / wealth.cummax().clip(lower=1.0) - 1

    def finish(axis: Axes) -> None:
        axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axis.axhline(0, color=DARK, linewidth=0.6)
        axis.legend(loc="lower right", fontsize=7, frameon=False)

    names = {name: f"{name} {abs(worst):.0%}" for name, worst in drawdown.min().items()}
    return _figure(drawdown, names, groups, references, finish, path, heading, footnote, formats)


def _checked(returns: pd.DataFrame, groups: Mapping[str, Sequence[str]], references: Sequence[str]) -> pd.DataFrame:
    wanted = [*(name for names in groups.values() for name in names), *references]
    missing = [name for name in wanted if name not in returns]
    if missing or not wanted:
        known = ", ".join(map(str, returns))
        raise InputError(f"returns: no column {', '.join(missing) or 'is asked for'}; known: {known}")
    return returns


def _figure(
    curves: pd.DataFrame,
    names: Mapping[Any, str],
    groups: Mapping[str, Sequence[str]],
    references: Sequence[str],
    finish: Callable[[Axes], None],
    path: Path,
    heading: str,
    footnote: str,
    formats: Sequence[str],
) -> Path:
    figure, axes = panels(len(groups), columns=3, size=SIZE, share=True)
    for axis, (name, own) in zip(axes, groups.items(), strict=True):
        behind = [(one, hue, 1.6) for one, hue in zip(references, BEHIND, strict=False) if one not in own]
        for one, hue, width in [*behind, *((one, hue, 0.8) for one, hue in zip(own, HUES, strict=False))]:
            curve = cast(pd.Series, curves[one])
            axis.plot(curve.index, curve.to_numpy(), color=hue, linewidth=width, label=names[one])
        finish(axis)
        axis.margins(x=0)
        axis.grid(axis="y", color="#e6e6e6", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.set_title(name, loc="left", fontsize=10)
    canvas.footnote(figure, footnote)
    title(figure, heading)
    return save(figure, path, formats)
