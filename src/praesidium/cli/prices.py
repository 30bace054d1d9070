"""Commands on price histories."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def stage(
    file: Annotated[Path, typer.Argument(help="A CSV with a date and a close (or adjusted close) column.")],
    out: Annotated[Path, typer.Option(help="Where the checked prices go.", metavar="FILE")] = Path(
        "data/processed/spy_prices.csv"
    ),
    allow_jumps: Annotated[
        bool, typer.Option("--allow-jumps", help="Accept jumps of more than 50 % in a day.")
    ] = False,
) -> None:
    """Check a price CSV and bring it in as the data set real_spy."""
    from praesidium.data.staging import stage as bring_in

    report = bring_in(file, out, allow_jumps=allow_jumps)
    typer.echo(f"{out}: {report.rows} days from {report.first} to {report.last}, sha256 {report.sha256[:12]}")
    for note in report.notes:
        typer.echo(f"  {note}")
