"""Everything that can be drawn and tabulated from a results folder."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from praesidium.reporting.curves import plane, read_curves, read_episodes, read_sensitivities
from praesidium.reporting.figures import crisis_figure
from praesidium.reporting.ire import read_ire, write_diagnostics
from praesidium.reporting.plots.head import head_figure
from praesidium.reporting.plots.ire import ire_figure
from praesidium.reporting.plots.qq import qq_figure
from praesidium.reporting.plots.training import alignment_figure, training_figure
from praesidium.reporting.tables import Results, write_summary

FIGURES = "figures"


def report(root: Path, results: Results, summary: pd.DataFrame, shown: pd.DataFrame) -> list[Path]:
    """Write the tables and every figure for which there is material.

    Args:
        root: the results folder.
        results: what it holds.
        summary: means over seeds.
        shown: its rows in the order in which they are to stand.

    Returns:
        The files, tables first.
    """
    runs = read_ire(results.runs)
    written = [write_summary(summary, root), write_diagnostics(runs, root)]
    figures: list[Path | None] = [crisis_figure(results.cells, shown, root / "crisis_cvar95.png")]
    curves, episodes, slopes, points = (
        read_curves(results.runs),
        read_episodes(results.runs),
        read_sensitivities(results.runs),
        plane(results.cells),
    )
    points = points.merge(
        runs[["dataset", "method", "seed", "isi", "c2"]], on=["dataset", "method", "seed"], how="left"
    )
    for dataset in dict.fromkeys(results.cells.dataset):
        folder = root / FIGURES / str(dataset)
        figures += [
            training_figure(_of(curves, dataset), folder / "training.png"),
            alignment_figure(_of(curves, dataset), folder / "alignment.png"),
            qq_figure(_of(episodes, dataset), folder / "qq.png"),
            ire_figure(_of(points, dataset), folder / "ire.png"),
            head_figure(_of(slopes, dataset), folder / "head.png"),
        ]
    return [*written, *(one for one in figures if one is not None)]


def _of(frame: pd.DataFrame, dataset: object) -> pd.DataFrame:
    return frame.query("dataset == @dataset")
