"""The allocation study."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from praesidium.cli.options import Overrides
from praesidium.cli.terminal import announce, complain, console
from praesidium.component import InputError

if TYPE_CHECKING:
    import pandas as pd

    from praesidium.experiments.allocation import AllocationStudy
    from praesidium.experiments.store import Run


class Size(StrEnum):
    """What is spent on strategies and intervals."""

    quick = "quick"
    standard = "standard"


def allocate(
    overrides: Overrides = None,
    data: Annotated[
        str, typer.Option(help="sp500_stocks, sp500, or a CSV: a date column, a column of prices for each asset.")
    ] = "sp500_stocks",
    preset: Annotated[
        Size, typer.Option(help="quick (minutes), standard (networks refitted every year).")
    ] = Size.quick,
    strategies: Annotated[str | None, typer.Option(help="Strategies, a,b.  [default: all]", metavar="NAME,...")] = None,
    first: Annotated[
        str | None, typer.Option(help="Day of the first decision.  [default: by data]", metavar="DATE")
    ] = None,
    last: Annotated[str | None, typer.Option(help="Last day.  [default: by data]", metavar="DATE")] = None,
    cost: Annotated[float, typer.Option(help="Of a trade over its value; 0.001 = 10 bp.")] = 0.001,
    delays: Annotated[
        str, typer.Option(help="Closes from decision to trade; 0 is that of the decision.", metavar="N,...")
    ] = "1,5",
    seed: Annotated[int, typer.Option(help="Of networks, regime models and resampled days.")] = 0,
    resamples: Annotated[
        int | None, typer.Option(min=100, help="Of the stationary bootstrap.  [default: by preset]")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes; results do not depend on it.")] = 2,
    allow_jumps: Annotated[
        bool, typer.Option("--allow-jumps", help="Accept prices of a CSV that jump by a factor of 1.5 in a day.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder.  [default: results/allocation/DATA/PRESET]", metavar="DIR")
    ] = None,
) -> None:
    """Walk allocation strategies forward over a price table, and compare them. Run it again to resume.

    Overrides change what is spent: effort.epochs=60 effort.portfolios.window=500.
    """
    from praesidium.data.asset_prices import asset_prices
    from praesidium.experiments.allocation import preset_of, study_of
    from praesidium.experiments.grid import parse_names
    from praesidium.experiments.store import Busy, Run
    from praesidium.reporting.allocation import print_allocation, read_allocation

    drawn = [] if resamples is None else [f"resamples={resamples}"]
    study, closes = study_of(
        asset_prices(data, allow_jumps=allow_jumps),
        preset_of(preset.value, [*(overrides or []), *drawn]),
        strategies=None if strategies is None else parse_names(strategies, "strategies"),
        first=first,
        last=last,
        cost_rate=cost,
        delays=_numbers(delays),
        seed=seed,
    )
    run = Run(out or Path("results/allocation") / Path(data).stem / preset.value, study.settings())
    failures: list[str] = []
    if run.check():
        announce(f"{run.folder}: this study is done; these are its results")
    else:
        try:
            with run.hold():
                failures = _perform(study, closes, run, jobs)
        except Busy:
            raise InputError(f"out: another process is at work in {run.folder}; wait for it") from None
    if len(failures) < len(study.strategies):
        print_allocation(read_allocation(run.folder), console())
        typer.echo(f"\nwritten: {run.folder}")
    raise typer.Exit(1 if failures else 0)


def _perform(study: AllocationStudy, closes: pd.DataFrame, run: Run, jobs: int) -> list[str]:
    """Walk, measure and draw; with the last file the study is done. One sentence for each strategy that failed."""
    from praesidium.experiments.allocation import measure, run_walks
    from praesidium.experiments.engines import Local
    from praesidium.reporting.allocation import draw_allocation, read_allocation
    from praesidium.reporting.progress import follow

    begun, assets = time.perf_counter(), closes.shape[1]
    announce(
        f"{len(study.strategies)} strategies on {assets} asset{'s' * (assets > 1)}, {study.first} to {study.last}, "
        f"{jobs} workers -> {run.folder}"
    )
    run.begin()
    failures = follow(run_walks(study, closes, run.folder, Local(jobs=jobs)), len(study.strategies))
    complain(failures)
    metrics = measure(study, run.folder)
    if metrics:
        draw_allocation(read_allocation(run.folder))
    if not failures:
        run.finish(metrics, device="cpu", seconds=time.perf_counter() - begun)
    return failures


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise InputError(f"delays: {text!r} is no list of whole numbers; write 1,5")
    return [int(part) for part in parts]
