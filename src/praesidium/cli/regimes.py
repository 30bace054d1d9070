"""Commands on latent regimes."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from praesidium.cli.terminal import announce, console
from praesidium.component import InputError

if TYPE_CHECKING:
    import pandas as pd

Data = Annotated[str, typer.Option(help="sp500, real_spy, markov_switching, or a price CSV.", metavar="NAME|FILE")]
Count = Annotated[int, typer.Option("--regimes", min=2, max=12, help="How many regimes to tell apart.")]
Until = Annotated[str | None, typer.Option(help="Last day to fit on.  [default: 60 % of them]", metavar="DATE")]
Seed = Annotated[int, typer.Option(help="Of the start of the fit, and of the simulated market.")]
Settings = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings of the model.")]
OWN = ("n_regimes", "random_state")  # settings that have an option of their own
COMPARED = "bands,gaussian_hmm,student_hmm,jump,vqvaehmm"
DIGITS = {
    "log_score": "{:+.4f}",
    "spread": "{:.2f}",
    "switches": "{:.1f}",
    "seconds": "{:.2f}",
    "accuracy": "{:.1%}",
    "state_score": "{:.3f}",
    "ece": "{:.3f}",
    "delay": "{:.1f}",
    "missed": "{:.0%}",
    "false_alarms": "{:.1f}",
}

app = typer.Typer(
    help="Tell latent regimes apart: fit a model, compare several, draw one.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command()
def fit(
    settings: Settings = None,
    data: Data = "sp500",
    model: Annotated[str, typer.Option(help="Regime model.", metavar="KIND")] = "vqvaehmm",
    regimes: Count = 3,
    until: Until = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for the result; what is there stays.", metavar="DIR")] = None,
) -> None:
    """Fit a regime model and write it, its filtered regimes by day, and the figure."""
    from praesidium.experiments.regimes import SIMULATED, history, models, summary
    from praesidium.reporting.regimes import draw, keep

    folder = _free(out or Path("runs/regimes") / datetime.now().strftime("%Y-%m-%d_%H-%M-%S"))
    seen = history(data, seed=seed)
    rows = seen.rows_until(until)
    (fitted,) = models([model], n_regimes=regimes, settings={**_settings(settings), "random_state": seed}).values()
    announce("; ".join([f"{model} with {regimes} regimes on {rows} returns of {seen.name} -> {folder}", *seen.holes]))
    fitted.fit(seen.returns.to_numpy()[:rows])
    told = summary(fitted, seen)
    last = seen.prices.index[rows]
    span = f"day {last}" if data == SIMULATED else f"{last:%Y-%m-%d}"
    _print_regimes(told, f"{model} on {seen.name}, fitted until {span}; probabilities are filtered")
    keep(fitted, seen, rows, folder, heading=f"{seen.name}: {model}, {regimes} regimes, filtered; fitted until {span}")
    draw(folder)
    typer.echo(f"written: {folder}; draw a part of it with: praesidium regimes plot {folder} --first DATE --last DATE")


@app.command()
def compare(
    data: Data = "sp500",
    models: Annotated[str, typer.Option(help="Regime models, a,b.", metavar="KIND,...")] = COMPARED,
    regimes: Count = 3,
    until: Until = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="CSV to write.", metavar="FILE")] = None,
) -> None:
    """Fit several models on the first days and judge what each filters on the others."""
    from praesidium.experiments.grid import parse_names
    from praesidium.experiments.regimes import compare as judge
    from praesidium.experiments.regimes import history
    from praesidium.experiments.regimes import models as unfitted
    from praesidium.experiments.store import check_folder

    if out is not None:
        check_folder(out.parent)
        if out.exists():
            raise InputError(f"out: {out} is there already; name another file")
    seen = history(data, seed=seed)
    rows = seen.rows_until(until)
    candidates = unfitted(parse_names(models, "models"), n_regimes=regimes, settings={"random_state": seed})
    told = f"{len(candidates)} models on {rows} of {len(seen.returns)} returns of {seen.name}"
    announce("; ".join([told, *seen.holes]))
    table = judge(candidates, seen, rows)
    _print_comparison(table, f"{seen.name}: {len(seen.returns) - rows} days after the fit, filtered")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(out)
        typer.echo(f"written: {out}")


@app.command()
def plot(
    folder: Annotated[Path, typer.Argument(help="What `praesidium regimes fit` has written.", metavar="DIR")],
    first: Annotated[str | None, typer.Option(help="First day.", metavar="DATE")] = None,
    last: Annotated[str | None, typer.Option(help="Last day.", metavar="DATE")] = None,
    out: Annotated[Path | None, typer.Option(help="File.  [default: DIR/regimes_FIRST_LAST.png]")] = None,
) -> None:
    """Draw the price with its filtered regimes, or a part of it."""
    from praesidium.reporting.regimes import draw

    typer.echo(f"written: {draw(folder, first=first, last=last, out=out)}")


def _settings(given: list[str] | None) -> dict[str, Any]:
    """``key=value`` arguments, values as in YAML."""
    import yaml

    parsed = {}
    for one in given or []:
        key, equals, value = one.partition("=")
        if not equals or not key:
            raise InputError(f"{one!r} is not a setting; write key=value, such as covariance=full")
        if key in OWN:
            raise InputError(f"{key}: it has an option of its own; say --regimes or --seed")
        try:
            parsed[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError(
                f"{one!r}: {value!r} is no value; write a number, a word, or a list such as [1,2]"
            ) from None
    return parsed


def _free(folder: Path) -> Path:
    """A folder that holds nothing, or what a fit that was killed has left."""
    from praesidium.experiments.store import check_folder
    from praesidium.reporting.regimes import RECORD, TABLE

    check_folder(folder)
    left = [one.name for one in folder.iterdir()] if folder.exists() else []
    if RECORD in left:
        raise InputError(f"out: {folder} holds a model; name another folder, or draw it with: praesidium regimes plot")
    if any(name != TABLE and ".partial" not in name for name in left):
        raise InputError(f"out: {folder} is there already; name another folder")
    return folder


def _print_regimes(told: pd.DataFrame, heading: str) -> None:
    from rich.table import Table

    shown = Table(title=heading, title_justify="left")
    for name in ("regime", "volatility", "mean a year", "mean stay, days", "share of days", "now", "in a month"):
        shown.add_column(name, justify="right")
    for number, row in told.iterrows():
        stay = f"{row['stay']:.0f}"
        cells = [f"{row[name]:.1%}" for name in ("volatility", "mean", "days", "now", "in a month")]
        shown.add_row(f"{number}", *cells[:2], stay, *cells[2:])
    console().print(shown)


def _print_comparison(table: pd.DataFrame, heading: str) -> None:
    from rich.table import Table

    shown = Table(title=heading, title_justify="left")
    shown.add_column("model")
    for name in table.columns:
        shown.add_column(name.replace("_", " "), justify="right")
    for model, *values in table.itertuples():
        cells = zip(table.columns, values, strict=True)
        shown.add_row(str(model), *("-" if math.isnan(value) else DIGITS[name].format(value) for name, value in cells))
    console().print(shown)
    typer.echo(
        "  log score: nats a day beyond one normal law; spread: volatility after the wildest regime over the calmest; "
        "switches, false alarms: a year"
    )
