"""What all figures share: the canvas, the look of a method, the file."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from praesidium.component import InputError
from praesidium.reporting.tables import BASELINES

Line = Literal["-", "--", ":"]

BASIS_POINTS = 1e4
PALE, DARK, ALARM, GRAY, SHADE = "#9db8d2", "#1f3b57", "#b5402a", "#8a8a8a", "#f1eee6"
HUES = (DARK, ALARM, "#5b8c5a", "#c9963b", "#7a5c99", "#4f9aa8", "#a3617b", "#8c6d4f")
LINES: tuple[Line, ...] = ("-", "--", ":")
FORMATS = ("png", "pdf", "svg")
LETTERS = 11  # of a title that fit into an inch


@dataclass(frozen=True)
class Look:
    """How a method is drawn: its color, and the line that tells it from another of the same color."""

    color: str
    line: Line


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """A look for each method, in their order; plain ERM is always gray."""
    free = cycle([Look(hue, line) for line in LINES for hue in HUES])
    return {name: Look(GRAY, "-") if name in BASELINES else next(free) for name in dict.fromkeys(methods)}


def panels(
    count: int, *, columns: int = 4, size: tuple[float, float] = (3.3, 2.8), share: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels in rows, each of ``size`` inches, without frames to the top and right.

    Args:
        count: number of panels, at least 1.
        columns: most panels in a row.
        size: width and height of a panel, inches.
        share: whether all panels have the same axes.
    """
    across = min(count, columns)
    down = -(-count // across)
    figure = Figure(figsize=(0.4 + size[0] * across, 0.6 + size[1] * down), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(down, across, squeeze=False, sharex=share, sharey=share).ravel().tolist()
    for axis in axes[count:]:
        axis.remove()
    for axis in axes[:count]:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8, labelbottom=True)
    return figure, axes[:count]


def title(figure: Figure, text: str) -> None:
    """Say what is seen, above all panels."""
    width = int(LETTERS * figure.get_figwidth())
    wrapped = "\n".join(textwrap.fill(line, width) for line in text.splitlines())
    figure.suptitle(wrapped, x=0.01, ha="left", fontsize=11)


def footnote(figure: Figure, text: str) -> None:
    """What has to be known, below all panels."""
    width = int(1.4 * LETTERS * figure.get_figwidth())  # smaller letters than those of the title
    figure.supxlabel(textwrap.fill(text, width), x=0.01, ha="left", fontsize=8, color=GRAY)


def price_axis(axis: Axes, least: float, most: float) -> None:
    """A logarithmic axis for values from ``least`` to ``most``, with ticks that can be read.

    They are at 1, 2 and 5 times powers of ten; even ones where the values span less than a few of them.
    """
    exponents = range(int(np.floor(np.log10(least))) - 1, int(np.ceil(np.log10(most))) + 1)
    places = [tick * 10.0**exponent for exponent in exponents for tick in (1, 2, 5)]
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(FixedLocator(places) if most >= 4 * least else MaxNLocator(5))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
    axis.yaxis.set_minor_locator(NullLocator())


def legend(figure: Figure, shown: dict[str, Look]) -> None:
    """Names of the methods below all panels."""
    handles = [Line2D([], [], color=look.color, linestyle=look.line, label=name) for name, look in shown.items()]
    width = int(figure.get_figwidth() / 1.6)
    figure.legend(handles=handles, loc="outside lower left", ncols=max(1, width), frameon=False, fontsize=8)


def save(figure: Figure, path: Path, formats: Sequence[str]) -> Path:
    """Write a figure, each file whole or not at all.

    Args:
        figure: what to write.
        path: a ``.png`` file; other formats stand beside it.
        formats: of ``png``, ``pdf`` and ``svg``; at least one.

    Returns:
        The file of the first format.

    Raises:
        InputError: if a format is unknown, or there is none.
    """
    unknown = [one for one in formats if one not in FORMATS]
    if unknown or not formats:
        raise InputError(f"formats={tuple(formats)} cannot be written; name one or more of {', '.join(FORMATS)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    files = [path.with_suffix(f".{one}") for one in formats]
    for file in files:
        scratch = file.with_suffix(f".partial{file.suffix}")
        figure.savefig(scratch, dpi=160)
        scratch.replace(file)
    return files[0]


def check(frame: pd.DataFrame, columns: Iterable[str], caller: str) -> pd.DataFrame:
    """The frame with rows numbered anew; parts that were joined may share numbers.

    Raises:
        InputError: if it lacks a column, or mixes data sets.
    """
    missing = [name for name in columns if name not in frame]
    if missing:
        raise InputError(f"{caller}: the frame has no column {', '.join(missing)}; see the function's arguments")
    if "dataset" in frame and frame.dataset.nunique() > 1:
        raise InputError(f"{caller}: the frame mixes {frame.dataset.nunique()} data sets; pass the rows of one")
    return frame.reset_index(drop=True)
