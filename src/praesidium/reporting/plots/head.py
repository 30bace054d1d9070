"""What a policy's position depends on, in calm and in crisis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from praesidium.reporting.plots.canvas import ALARM, DARK, GRAY, check, panels, save, title

GROUPS = {"phi": "phi features", "context": "context features"}
GAP = 1.4  # rows between the last feature of one group and the first of the next, beyond the usual one


def head_figure(
    sensitivities: pd.DataFrame,
    path: Path,
    *,
    calm: str = "low",
    crisis: str = "crisis",
    formats: Sequence[str] = ("png",),
) -> Path | None:
    """Mean |dq/dx| of the position in each feature, calm and crisis joined by a line, a panel a method.

    A rule that carries over has the same dots in both; one that leans on its context has long bars below.

    Args:
        sensitivities: one row a method, environment and feature, or more (seeds), whose mean is drawn: ``method``,
            ``environment``, ``feature``, ``group`` (``phi`` or ``context``), ``sensitivity``: mean |dq/dx|, change of
            the position for one standard deviation of the feature.
        path: a ``.png`` file.
        calm: environment of the blue dots.
        crisis: environment of the red dots.
        formats: file formats to write.

    Returns:
        The file; None if one of the two environments is missing.

    Raises:
        InputError: if a column is missing.
    """
    sensitivities = check(sensitivities, ("method", "environment", "feature", "group", "sensitivity"), "head_figure")
    rows = sensitivities.dropna(subset="sensitivity").query("group in @GROUPS")
    if not {calm, crisis} <= set(rows.environment):
        return None
    features = rows.drop_duplicates("feature")
    means = rows.groupby(["method", "environment", "feature"], sort=False).sensitivity.mean()
    methods = list(rows.method.unique())
    height = 1.0 + 0.24 * (len(features) + GAP)
    figure, axes = panels(len(methods), size=(3.2, height), share=True)
    for axis, name in zip(axes, methods, strict=True):
        there = means[name].unstack("environment").reindex(columns=[calm, crisis])
        _dumbbells(axis, features, there)
        axis.set_title(str(name), loc="left", fontsize=10)
        axis.set_xlabel("mean |dq/dx| per standard deviation", fontsize=8)
    axes[0].set_xlim(left=0)
    axes[0].locator_params(axis="x", nbins=4)
    handles = [
        Line2D([], [], color=color, marker="o", linestyle="", label=name)
        for color, name in ((DARK, calm), (ALARM, crisis))
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False, fontsize=8)
    title(figure, f"What the position depends on, in {calm} and in {crisis}")
    return save(figure, path, formats)


def _dumbbells(axis: Axes, features: pd.DataFrame, means: pd.DataFrame) -> None:
    """A row a feature: a dot for each environment, and the line between them."""
    calm, crisis = means.columns
    heights: dict[str, float] = {}
    top = 0.0
    by_group = {name: rows.feature.tolist() for name, rows in features.groupby("group", sort=False)}
    for group, text in GROUPS.items():
        mine = by_group.get(group, [])
        if mine:
            axis.text(0.0, top - 0.75, text, fontsize=8, color=GRAY, style="italic", va="center")
        heights |= {str(feature): top + place for place, feature in enumerate(mine)}
        top += len(mine) + GAP if mine else 0
    there = means.reindex(list(heights))
    rows = list(heights.values())
    axis.hlines(rows, there.min(axis=1), there.max(axis=1), color=GRAY, linewidth=1.5, alpha=0.6, zorder=1)
    axis.plot(there[calm], rows, "o", color=DARK, markersize=5, markeredgewidth=0)
    axis.plot(there[crisis], rows, "o", color=ALARM, markersize=5, markeredgewidth=0)
    axis.set_yticks(rows, list(heights))
    axis.set_ylim(rows[-1] + 0.6, -1.3)
    axis.tick_params(axis="y", length=0)
