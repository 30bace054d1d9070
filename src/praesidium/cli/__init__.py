"""The command line: ``praesidium COMMAND [options] [key=value ...]``."""

from __future__ import annotations

import sys
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from praesidium.component import InputError

if TYPE_CHECKING:
    from praesidium.experiments.grid import Cell

INTERRUPTED = 130

app = typer.Typer(
    name="praesidium",
    help="Hedging policies that keep their rule when the regime shifts, and the evidence for it.",
    epilog="Trailing key=value arguments are Hydra overrides: objective=vrex objective.beta=10 train.steps=200.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Preset(StrEnum):
    """Size of a study."""

    quick = "quick"
    standard = "standard"
    paper = "paper"


Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Hydra overrides.")]
PresetOption = Annotated[Preset, typer.Option(help="Size: quick (minutes), standard (10 seeds), paper (30 seeds).")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:0 or mps.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Worker processes.  [default: planned]")]
Stack = Annotated[int | None, typer.Option(min=1, help="Seeds that train as one.  [default: planned]")]
Out = Annotated[Path | None, typer.Option(help="Folder for the results.", metavar="DIR")]


@app.command()
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


@app.command()
def train(
    overrides: Overrides = None,
    preset: PresetOption = Preset.quick,
    datasets: Annotated[str, typer.Option(help="One data set.")] = "synthetic_heston",
    methods: Annotated[str, typer.Option(help="One method; overrides change it.")] = "erm_residual",
    seeds: Annotated[str, typer.Option(help="One seed.")] = "0",
    device: Device = "cpu",
    out: Out = None,
) -> None:
    """Train one policy and judge it in every environment."""
    from praesidium.experiments.engines import attempt
    from praesidium.experiments.grid import parse_names, parse_seeds, run_batch

    for what, names in (("datasets", parse_names(datasets, "datasets")), ("methods", parse_names(methods, "methods"))):
        _one(what, names)
    _one("seeds", parse_seeds(seeds))
    root = out or Path("runs") / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    (cell,) = _cells(root, datasets, methods, seeds, preset, overrides, device, flat=True)
    _announce(f"{cell.method} on {cell.dataset}, seed {cell.seed} -> {root}")
    (outcome,) = attempt(run_batch, [cell])
    if outcome.status not in {"done", "skipped"}:
        _complain([f"{outcome.cell}: {outcome.status} {outcome.reason}".rstrip()])
        raise typer.Exit(1)
    _print_run(cell.run.folder)


@app.command()
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="A .safetensors checkpoint of a run.")],
    datasets: Annotated[str | None, typer.Option(help="Another data set to judge the policy on.")] = None,
    device: Device = "cpu",
    out: Annotated[Path | None, typer.Option(help="CSV to write; default: artifacts of the run.")] = None,
) -> None:
    """Judge a trained policy again, or on another data set."""
    from praesidium.experiments.reevaluation import reevaluate
    from praesidium.reporting.printing import print_environments
    from praesidium.reporting.tables import environment_rows

    _check_device(device)
    result = reevaluate(checkpoint, dataset=datasets, device=device)
    rows = environment_rows(result.metrics, result.data)
    path = out or result.folder / "artifacts" / f"evaluation_{result.dataset}.csv"
    _write_rows(rows, path)
    print_environments(rows, f"{result.method} (step {result.step}) on {result.dataset}", _console())
    typer.echo(f"written: {path}")


@app.command()
def benchmark(
    overrides: Overrides = None,
    preset: PresetOption = Preset.quick,
    datasets: Annotated[str, typer.Option(help="Data sets, a,b.")] = "synthetic_heston,sp500",
    methods: Annotated[str | None, typer.Option(help="Methods, a,b.  [default: all of the crisis table]")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds, 0,1,2 or 0..29.  [default: by preset]")] = None,
    device: Device = "cpu",
    jobs: Jobs = None,
    stack: Stack = None,
    out: Out = None,
) -> None:
    """Train and judge every method on every data set, and print the crisis table. Run it again to resume."""
    from praesidium.experiments.engines import Local
    from praesidium.experiments.grid import SEEDS, parse_names, run_grid
    from praesidium.experiments.methods import BENCHMARK
    from praesidium.experiments.planner import plan
    from praesidium.reporting.progress import follow

    root = out or Path("results") / preset.value
    names = methods or ",".join(BENCHMARK)
    cells = _cells(root, datasets, names, seeds or SEEDS[preset.value], preset, overrides, device)
    planned = plan(cells, jobs=jobs, stack=stack)
    before = len(cells) - sum(len(batch) for batch in planned.batches)
    _announce(f"{len(cells)} cells -> {root}")
    _announce(planned.reason)
    failures = follow(run_grid(planned.batches, Local(jobs=planned.jobs), root), len(cells), before=before)
    _complain(failures)
    if len(failures) < len(cells):
        _summarize(root, parse_names(datasets, "datasets"), parse_names(names, "methods"))
    raise typer.Exit(1 if failures else 0)


@app.command()
def profile(
    overrides: Overrides = None,
    preset: PresetOption = Preset.quick,
    datasets: Annotated[str, typer.Option(help="Data sets, a,b.")] = "synthetic_heston",
    methods: Annotated[str, typer.Option(help="Methods, a,b.")] = "delta,erm,hirm",
    seeds: Annotated[str, typer.Option(help="Seeds, 0,1,2 or 0..29.")] = "0",
    device: Device = "cpu",
    stack: Stack = None,
) -> None:
    """Run a study in one process, keep nothing, and print where the time goes."""
    from praesidium.experiments.planner import plan
    from praesidium.experiments.profiling import profile as run
    from praesidium.reporting.printing import print_profiles

    with TemporaryDirectory() as nowhere:
        cells = _cells(Path(nowhere), datasets, methods, seeds, preset, overrides, device)
        planned = plan(cells, jobs=1, stack=stack)
    _announce(planned.reason)
    print_profiles(run(planned, device), _console())


@app.command()
def summarize(
    folder: Annotated[Path, typer.Argument(help="Results of a benchmark.", metavar="DIR")] = Path("results/quick"),
) -> None:
    """Write summary.csv and the figure again from what is there, and print the crisis table."""
    _summarize(folder, None, None)


def main() -> None:
    """Entry point: bad input is one sentence and exit code 2, an interrupt is 130."""
    try:
        app()
    except InputError as error:
        _complain(str(error).splitlines())
        sys.exit(2)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            print("interrupted; the same command with the same --out continues where it stopped", file=sys.stderr)
        raise


def _cells(
    root: Path,
    datasets: str,
    methods: str,
    seeds: str,
    preset: Preset,
    overrides: list[str] | None,
    device: str,
    *,
    flat: bool = False,
) -> list[Cell]:
    from praesidium.experiments.grid import cells_of, parse_names, parse_seeds

    _check_device(device)
    return cells_of(
        datasets=parse_names(datasets, "datasets"),
        methods=parse_names(methods, "methods"),
        seeds=parse_seeds(seeds),
        root=root,
        preset=preset.value,
        overrides=overrides or [],
        device=device,
        flat=flat,
    )


def _check_device(device: str) -> None:
    import torch

    kind, _, number = device.partition(":")
    if kind not in {"cpu", "cuda", "mps"} or (number and not (kind == "cuda" and number.isdigit())):
        raise InputError(f"device: {device!r} is unknown; known: cpu, cuda, cuda:0, mps")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}[kind]
    if not there or (number and int(number) >= torch.cuda.device_count()):
        raise InputError(f"device: there is no {device} on this machine; leave --device out to run on the CPU")


def _summarize(root: Path, datasets: list[str] | None, methods: list[str] | None) -> None:
    from praesidium.experiments.methods import METHODS
    from praesidium.reporting.figures import crisis_figure
    from praesidium.reporting.printing import print_tables
    from praesidium.reporting.tables import arrange, read_results, summarize, write_summary

    results = read_results(root)
    summary = summarize(results)
    there = set(summary.method)
    methods = methods or [name for name in METHODS if name in there] + sorted(there - set(METHODS))
    shown = arrange(summary, datasets or list(dict.fromkeys(summary.dataset)), methods)
    written = [write_summary(summary, root), crisis_figure(results.cells, shown, root / "crisis_cvar95.png")]
    print_tables(shown, methods, _console())
    if results.unfinished:
        typer.echo(f"not finished: {', '.join(results.unfinished)}")
    typer.echo(f"written: {', '.join(str(path) for path in written if path)}")


def _print_run(folder: Path) -> None:
    from praesidium.experiments.store import read_config
    from praesidium.reporting.printing import print_environments
    from praesidium.reporting.tables import environment_rows, read_metrics

    settings = read_config(folder)
    rows = environment_rows(read_metrics(folder), settings["data"])
    print_environments(rows, f"{settings['method']} on {settings['dataset']}, seed {settings['seed']}", _console())
    typer.echo(f"written: {folder}")


def _write_rows(rows: list[dict[str, Any]], path: Path) -> None:
    import pandas as pd

    from praesidium.experiments.store import write_text

    write_text(path, pd.DataFrame(rows).to_csv(index=False))


def _one(what: str, names: list[Any]) -> None:
    if len(names) > 1:
        raise InputError(f"{what}: train takes one, not {len(names)}; for several run praesidium benchmark")


def _console() -> Any:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 150)


def _announce(text: str) -> None:
    print(text, file=sys.stderr)


def _complain(lines: list[str]) -> None:
    for line in lines:
        print(f"error: {line}", file=sys.stderr)
