"""Ablations: the measures of every run, and how far each lies from the full method with the same seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rich.table import Table

from praesidium.experiments.methods import ABLATIONS, NAMED
from praesidium.reporting.ire import KEYS, read_ire
from praesidium.reporting.paired import median_interval
from praesidium.reporting.tables import read_results

FILE = "ablation_summary.csv"
REFERENCES = ("hirm_full", "hirm")  # the same method by its two names
RISK = "metrics/cvar95/"
CRISIS = f"{RISK}crisis"
PLAIN = ("mean_pnl", "turnover", "max_drawdown")
DIAGNOSED = ("isi", "c1", "c2", "c3", "ig", "wg_max", "vr", "er", "tr")
MEASURES = ("mean_pnl", CRISIS, *DIAGNOSED, "turnover", "max_drawdown")
DELTA = "delta/"
BASIS_POINTS = 1e4
SHOWN = {  # heading, factor, decimals
    "mean_pnl": ("PnL bp", BASIS_POINTS, 1),
    "max_drawdown": ("drawdown bp", BASIS_POINTS, 1),
    "isi": ("ISI", 1.0, 3),
    "ig": ("IG bp", BASIS_POINTS, 1),
    "wg_max": ("WG bp", BASIS_POINTS, 1),
    "vr": ("VR", 1.0, 3),
    "er": ("ER", 1.0, 3),
    "tr": ("TR", 1.0, 3),
    "turnover": ("turnover", 1.0, 2),
}


def read_ablation(root: Path) -> pd.DataFrame:
    """One row a finished run, by data set, method in the order of the published ablation, and seed.

    ``mean_pnl``, ``turnover`` and ``max_drawdown`` are those of the first test environment, the diagnostics those of
    :func:`praesidium.reporting.ire.read_ire`; ``metrics/cvar95/<name>`` is the CVaR-95 in each environment and real
    window. ``delta/<measure>`` is the measure less that of ``hirm_full``, or else of ``hirm``, on the same data set
    with the same seed; missing without such a run.

    Raises:
        InputError: if there is no finished run.
    """
    results = read_results(root)
    cells, runs = results.cells, read_ire(results.runs)
    risks = cells.assign(environment=RISK + cells.environment).pivot(index=KEYS, columns="environment", values="cvar95")
    everywhere = list(dict.fromkeys((CRISIS, *(RISK + cells.environment))))
    first = cells.query("role == 'test'").drop_duplicates(KEYS)[[*KEYS, *PLAIN]]
    table = runs[[*KEYS, *DIAGNOSED]].merge(first, on=KEYS).merge(risks.reset_index(), on=KEYS)
    measures = list(dict.fromkeys((*MEASURES, *everywhere)))
    table = _sorted(table.reindex(columns=[*KEYS, *measures])).astype(dict.fromkeys(measures, float))
    deltas = pd.concat([_deltas(part, measures) for _, part in table.groupby("dataset", sort=False)])
    return table.join(deltas.add_prefix(DELTA))


def reference_of(rows: pd.DataFrame) -> str | None:
    """The method that the rows of a data set are compared with; None if it is not there."""
    there = set(rows.method)
    return next((name for name in REFERENCES if name in there), None)


def pivots(table: pd.DataFrame) -> Iterator[tuple[str, Table]]:
    """For people: a sentence and a table for each data set, a row a method.

    Each number is a median over seeds, below it the median of its paired differences from the reference; that of the
    crisis CVaR-95 has a column of its own, with an interval of order statistics. Missing numbers stay empty.
    """
    for dataset, rows in table.groupby("dataset", sort=False):
        reference = reference_of(rows)
        shown = Table()
        shown.add_column("method", no_wrap=True)
        for heading in ("pairs", "crisis CVaR-95 bp", f"less {reference}") if reference else ("seeds", "CVaR-95 bp"):
            shown.add_column(heading, justify="right", no_wrap=True)
        for heading, _, _ in SHOWN.values():
            shown.add_column(heading, justify="right", no_wrap=True)
        for method, runs in rows.groupby("method", sort=False):
            line = [str(method), str(len(_known(runs, DELTA + CRISIS) if reference else runs))]
            line.append(_number(_known(runs, CRISIS), BASIS_POINTS, ".1f"))
            if reference:
                line.append("" if method == reference else _interval(_known(runs, DELTA + CRISIS)))
            for name, (_, factor, decimals) in SHOWN.items():
                own = _number(_known(runs, name), factor, f".{decimals}f")
                less = _number(_known(runs, DELTA + name), factor, f"+.{decimals}f")
                line.append(own if method == reference else f"{own}\n{less}".strip())
            shown.add_row(*line)
        below = f"below each its median difference from {reference} with the same seed"
        yield f"{dataset}: medians over seeds; {below if reference else 'no hirm_full to compare with'}", shown


def coverage_note(table: pd.DataFrame) -> str:
    """How sure the intervals are, by number of pairs; empty where there are none."""
    counts: set[int] = set()
    for _, rows in table.groupby("dataset", sort=False):
        others = rows.query("method != @reference", local_dict={"reference": reference_of(rows)})
        counts |= {len(_known(runs, DELTA + CRISIS)) for _, runs in others.groupby("method")}
    sure = {count: median_interval(torch.zeros(count)).coverage for count in sorted(counts - {0})}
    told = ", ".join(f"{one:.0%} with {count} pair{'' if count == 1 else 's'}" for count, one in sure.items())
    return f"intervals: order statistics of the paired differences; they enclose the median in {told}" if told else ""


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    unnamed = sorted(set(table.method) - set(NAMED))
    methods = {name: place for place, name in enumerate(dict.fromkeys((*ABLATIONS, *NAMED, *unnamed)))}
    datasets = {name: place for place, name in enumerate(dict.fromkeys(table.dataset))}
    places = pd.DataFrame({"dataset": table.dataset.map(datasets), "method": table.method.map(methods)})
    return table.loc[places.assign(seed=table.seed).sort_values(KEYS).index].reset_index(drop=True)


def _deltas(rows: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Differences from the reference with the same seed, for the runs of one data set."""
    own = rows.query("method == @reference", local_dict={"reference": reference_of(rows)}).set_index("seed")
    theirs = own.reindex(index=rows.seed.tolist(), columns=list(measures))
    return rows.filter(list(measures)) - theirs.set_axis(rows.index)


def _known(runs: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """Numbers of a column that are there."""
    values = np.asarray(runs[name], float)
    return values[~np.isnan(values)]


def _number(values: NDArray[np.float64], factor: float, form: str) -> str:
    """Their median, empty without any."""
    return f"{np.median(values) * factor:{form}}" if len(values) else ""


def _interval(differences: NDArray[np.float64]) -> str:
    if not len(differences):
        return ""
    around = median_interval(torch.from_numpy(differences))
    low, high = (f"{one * BASIS_POINTS:+.1f}" for one in (around.lower, around.upper))
    return f"{_number(differences, BASIS_POINTS, '+.1f')} [{low}, {high}]"
