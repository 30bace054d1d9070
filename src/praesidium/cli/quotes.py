"""The command that makes a volatility surface of option quotes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from praesidium.cli.terminal import announce, console

if TYPE_CHECKING:
    from praesidium.data.quote_cleaning import CleanQuotes
    from praesidium.data.surfaces import QuotedSurface


def quotes(
    file: Annotated[Path, typer.Argument(help="A CSV of option quotes on one underlying.")],
    date: Annotated[str | None, typer.Option(help="Day.  [default: the last one]", metavar="DATE")] = None,
    spot: Annotated[float | None, typer.Option(help="Price of the underlying.  [default: of the file]")] = None,
    rate: Annotated[float, typer.Option(help="Interest, continuous, a year.")] = 0.0,
    dividend: Annotated[float, typer.Option(help="Dividend yield, where parity does not tell the forward.")] = 0.0,
    widest: Annotated[float, typer.Option(help="Largest ask over bid.")] = 3.0,
    out: Annotated[Path | None, typer.Option(help="JSON to write, for the data set spy_options.")] = None,
) -> None:
    """Clean option quotes and make a volatility surface without static arbitrage of them."""
    from praesidium.data.quote_cleaning import clean
    from praesidium.data.quotes import read_quotes
    from praesidium.data.surfaces import check_destination, make_surface, write_surface

    if out:
        check_destination(out)
    read = read_quotes(file, date=date)
    cleaned = clean(read, date=date, spot=spot, rate=rate, dividend=dividend, widest=widest)
    for note in read.notes:
        typer.echo(note)
    _print_counts(cleaned, f"{read.name}, {cleaned.date}")
    announce("fitting the surface")
    found = make_surface(read, cleaned)
    _print_slices(found)
    if cleaned.largest_difference is not None:
        typer.echo(f"Largest difference to a volatility in the file: {cleaned.largest_difference:.4f}")
    if out:
        write_surface(found, out)
        typer.echo(f"written: {out}; mark by it with: praesidium train --datasets spy_options data.options.path={out}")


def _print_counts(cleaned: CleanQuotes, title: str) -> None:
    from rich.table import Table

    from praesidium.data.quote_cleaning import REASONS

    shown = Table(title=title, title_justify="left")
    shown.add_column("quotes")
    shown.add_column("count", justify="right")
    for name, count in cleaned.counts.items():
        words = {"quotes": "read", "kept": "kept"}.get(name) or f"dropped: {REASONS[name]}"
        shown.add_row(words, "not known" if count is None else f"{count}")
    console().print(shown)


def _print_slices(found: QuotedSurface) -> None:
    from rich.table import Table

    shown = Table(title="slices, volatilities in decimals", title_justify="left")
    names = ("expiry", "years", "quotes", "forward", "from", "at the money", "rms error", "g before", "g after")
    for name in (*names, "crossing before", "crossing after", "largest move", "how"):
        shown.add_column(name, justify="left" if name in ("expiry", "from", "how") else "right")
    for one, part in zip(found.record["expiries"], found.surface.slices, strict=True):
        crossing = ("" if one[name] is None else f"{one[name]:.2e}" for name in ("crossing_before", "crossing_after"))
        shown.add_row(
            one["expiry"],
            f"{one['tau']:.4f}",
            f"{one['quotes']}",
            f"{one['forward']:.2f}",
            one["forward_from"],
            f"{part.volatility(0.0):.4f}",
            f"{one['rms_error']:.4f}",
            f"{one['g_before']:.3f}",
            f"{one['g_after']:.3f}",
            *crossing,
            f"{one['largest_move']:.2e}",
            one["how"],
        )
    console().print(shown)
