"""What the allocation study says: tables with intervals, paired differences, verdicts and figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from praesidium.component import InputError
from praesidium.experiments.allocation import DIFFERENCES, INTERVALS, RETURNS
from praesidium.experiments.allocation_strategies import STRATEGIES
from praesidium.experiments.store import FINAL, read_config
from praesidium.portfolio.metrics import METRICS
from praesidium.reporting.plots.equity import drawdown_figure, equity_figure
from praesidium.reporting.statistics import Estimate

EQUITY, DRAWDOWN = "equity.png", "drawdown.png"
INDEX, STOCKS = "S&P 500 index, 1998-2022", "20 stocks, 2005-2022"


@dataclass(frozen=True)
class Column:
    """How a metric is shown.

    Attributes:
        metric: name.
        heading: of its column.
        scale: by which it is multiplied.
        digits: after the point.
    """

    metric: str
    heading: str
    scale: float
    digits: int

    def cell(self, figure: Estimate, *, sign: str = "") -> str:
        """``value [low, high]``."""
        value, *ends = (
            f"{self.scale * one:{sign}.{self.digits}f}" for one in (figure.point, figure.lower, figure.upper)
        )
        return f"{value} [{', '.join(ends)}]" if figure.bounded else f"{value} [no interval]"

    def compared(self, difference: Estimate) -> str:
        """The cell of a difference, and whether it is a tie."""
        cell, better = self.cell(difference, sign="+"), (difference.lower > 0) == METRICS[self.metric].higher_is_better
        return f"{cell} {'tie' if difference.tie else 'better' if better else 'worse'}" if difference.bounded else cell


COLUMNS = {
    column.metric: column
    for column in (
        Column("cagr", "CAGR %", 100, 1),
        Column("volatility", "volatility %", 100, 1),
        Column("sharpe", "Sharpe", 1, 2),
        Column("max_drawdown", "max drawdown %", 100, 1),
        Column("cvar_95", "daily CVaR-95 %", 100, 2),
        Column("turnover", "turnover a year", 1, 2),
    )
}


@dataclass(frozen=True)
class Goal:
    """A figure to be reached: that of a baseline in the same run.

    Attributes:
        metric: lower is better.
        baseline: strategy.
        known: what the baseline is known to reach.
        where: on which data that is.
    """

    metric: str
    baseline: str
    known: str
    where: str


GOALS = (
    Goal("max_drawdown", "jump_timing", "20.9 %", INDEX),
    Goal("cvar_95", "jump_timing", "1.9 %", INDEX),
    Goal("turnover", "jump_timing", "1.1", INDEX),
    Goal("max_drawdown", "min_variance", "35.7 %", STOCKS),
    Goal("cvar_95", "min_variance", "2.19 %", STOCKS),
)


@dataclass(frozen=True, eq=False)
class Allocation:
    """What an allocation study has written.

    Attributes:
        folder: where it lies.
        study: its settings.
        intervals: by delay, strategy and metric.
        differences: by delay, baseline, strategy and metric; empty without a baseline.
    """

    folder: Path
    study: dict[str, Any]
    intervals: dict[tuple[int, str, str], Estimate]
    differences: dict[tuple[int, str, str, str], Estimate]

    @property
    def delay(self) -> int:
        """The shortest, at which strategies are compared and drawn."""
        return min(self.study["delays"])

    @property
    def baselines(self) -> list[str]:
        """What the others are compared with."""
        return list(dict.fromkeys(baseline for _, baseline, _, _ in self.differences))

    def returns(self, delay: int) -> pd.DataFrame:
        """Daily net returns, a column for each strategy."""
        return pd.read_csv(self.folder / RETURNS.format(delay), index_col="date", parse_dates=True)


def read_allocation(folder: Path) -> Allocation:
    """What lies in the folder of a study."""
    paired = folder / DIFFERENCES
    differences = _estimates(paired, ["delay", "baseline", "strategy", "metric"]) if paired.exists() else {}
    intervals = _estimates(folder / INTERVALS, ["delay", "strategy", "metric"])
    return Allocation(folder, read_config(folder), intervals, differences)


def draw_allocation(found: Allocation) -> list[Path]:
    """Wealth and drawdown at the shortest delay."""
    returns = found.returns(found.delay)
    groups: dict[str, list[str]] = {}
    for name in map(str, returns):
        groups.setdefault(STRATEGIES[name].group, []).append(name)
    references = [name for name in ("min_variance", "jump_timing") if name in returns]
    data, net = found.study["data"], f"net of {_points(found)} bp, {_traded(found.delay)}"
    settings: dict[str, Any] = {"references": references, "footnote": found.study["caution"]}
    wealth, fall = f"{data}: what 1 has become, {net}", f"{data}: fall from the peak, the deepest in the legend, {net}"
    return [
        equity_figure(returns, groups, found.folder / EQUITY, heading=wealth, **settings),
        drawdown_figure(returns, groups, found.folder / DRAWDOWN, heading=fall, **settings),
    ]


def print_allocation(found: Allocation, console: Console) -> None:
    """Print a table for each delay, differences and verdicts at the shortest, and what has to be said."""
    study = found.study
    for delay in sorted(study["delays"]):
        _headline(
            f"{study['data']}, {study['first']} to {study['last']}, net of {_points(found)} bp, {_traded(delay)}: "
            "estimate [95 % interval]",
            console,
        )
        console.print(_table(found, delay))
    for baseline in found.baselines:
        _headline(f"less {baseline} on the same days, delay {found.delay}: difference [95 % interval]", console)
        console.print(_comparison(found, baseline))
    for heading, lines in ((f"goals, delay {found.delay}", verdicts(found)), ("read with care", notes(found))):
        for place, line in enumerate(lines):
            if not place:
                _headline(heading, console)
            console.print(f"  {line}", highlight=False, soft_wrap=True)


def verdicts(found: Allocation) -> Iterator[str]:
    """For each goal the strategies that are at or below it, those that are not, and those that cannot be told apart."""
    for goal in GOALS:
        if goal.baseline not in found.baselines:
            continue
        column, reached = COLUMNS[goal.metric], found.intervals[found.delay, goal.baseline, goal.metric]
        answers: dict[str, list[str]] = {"yes": [], "tie": [], "no": []}  # drawdown, CVaR, turnover have intervals
        for (delay, baseline, name, metric), one in found.differences.items():
            if (delay, baseline, metric) == (found.delay, goal.baseline, goal.metric):
                answers["yes" if one.upper < 0 else "no" if one.lower > 0 else "tie"].append(name)
        told = "; ".join(f"{word}: {', '.join(names) or '-'}" for word, names in answers.items())
        here = f"{column.cell(reached)} here, {goal.known} on the {goal.where}"
        yield f"{column.heading} at or below {goal.baseline} ({here}): {told}"


def notes(found: Allocation) -> Iterator[str]:
    """What every reader of the tables has to know."""
    yield found.study["caution"]
    yield (
        "intervals: percentiles of the stationary bootstrap of days, the same days for all; tie: the interval of the "
        "difference covers 0. Each stands for itself: of twenty ties, one is called otherwise by chance"
    )
    yield (
        "they hold the chance of the days that came, not that of how networks start (one seed); the maximum drawdowns "
        "of resampled days may lie to one side of the estimate"
    )
    if len(found.study["delays"]) > 1 and found.differences:
        yield f"differences at the other delays: {DIFFERENCES}"


def _estimates(path: Path, keys: list[str]) -> dict[tuple[Any, ...], Estimate]:
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError):
        raise InputError(
            f"{path}: cannot be read; delete {path.parent / FINAL} and run the same command again"
        ) from None
    figures = zip(table["estimate"], table["low"], table["high"], strict=True)
    names = table[keys].itertuples(index=False, name=None)
    return {key: Estimate(*map(float, figure)) for key, figure in zip(names, figures, strict=True)}


def _traded(delay: int) -> str:
    if not delay:
        return "traded at the very close that decides, which nobody can"
    return f"traded {delay} close{'s' * (delay != 1)} after the decision"


def _points(found: Allocation) -> str:
    return f"{1e4 * found.study['cost_rate']:g}"


def _table(found: Allocation, delay: int) -> Table:
    table = _columns(COLUMNS.values())
    for name in found.study["strategies"]:
        figures = [found.intervals.get((delay, name, metric)) for metric in COLUMNS]
        cells = zip(COLUMNS.values(), figures, strict=True)
        table.add_row(name, *("missing" if one is None else column.cell(one) for column, one in cells))
    return table


def _comparison(found: Allocation, baseline: str) -> Table:
    columns = [column for metric, column in COLUMNS.items() if metric != "volatility"]  # the tail says as much
    table = _columns(columns)
    for name in found.study["strategies"]:
        if (found.delay, baseline, name, "cagr") in found.differences:
            cells = (
                column.compared(found.differences[found.delay, baseline, name, column.metric]) for column in columns
            )
            table.add_row(name, *cells)
    return table


def _columns(columns: Iterable[Column]) -> Table:
    table = Table()
    table.add_column("strategy", no_wrap=True)
    for column in columns:
        table.add_column(column.heading, justify="right")
    return table


def _headline(text: str, console: Console) -> None:
    console.print(f"\n{text}", style="bold", highlight=False, soft_wrap=True)
