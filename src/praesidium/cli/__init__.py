"""The command line: ``praesidium COMMAND [options] [key=value ...]``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from praesidium.cli import allocate, calibrate, prices, quotes, regimes, results, studies
from praesidium.cli.terminal import complain
from praesidium.component import InputError

INTERRUPTED = 130
RESUMED = ("train", "benchmark", "ablate", "tune", "allocate")  # commands that go on where they were interrupted

app = typer.Typer(
    name="praesidium",
    help="Hedges and allocations that keep their rule when the regime shifts, and the evidence for it.",
    epilog="Trailing key=value arguments are Hydra overrides: objective=vrex objective.beta=10 train.steps=200.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    prices.stage,
    quotes.quotes,
    calibrate.calibrate,
    studies.train,
    results.evaluate,
    studies.benchmark,
    studies.ablate,
    studies.tune,
    studies.profile,
    results.summarize,
    results.diagnose,
    results.analyze,
    results.compare,
    results.claims,
    results.bound,
    allocate.allocate,
):
    app.command()(command)
app.add_typer(regimes.app, name="regimes")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: bad input is one sentence and exit code 2, an interrupt is 130."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        app(given)
    except InputError as error:
        complain(str(error).splitlines())
        sys.exit(2)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            more = "; the same command with the same --out continues where it stopped" if given[0] in RESUMED else ""
            print(f"interrupted{more}", file=sys.stderr)
        raise
