"""Commands that run something: one training, a grid, a search."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from praesidium.cli.options import (
    Config,
    Datasets,
    Device,
    Jobs,
    Out,
    Overrides,
    Preset,
    PresetOption,
    Seeds,
    Stack,
    cells_of,
    preset_by,
)
from praesidium.cli.terminal import announce, complain, console
from praesidium.component import InputError

if TYPE_CHECKING:
    from praesidium.experiments.grid import Cell

BOTH = "synthetic_heston,sp500"


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
    from praesidium.cli.results import print_run
    from praesidium.experiments.engines import attempt
    from praesidium.experiments.grid import parse_names, parse_seeds, run_batch

    for what, names in (("datasets", parse_names(datasets, "datasets")), ("methods", parse_names(methods, "methods"))):
        _one(what, names)
    _one("seeds", parse_seeds(seeds))
    root = out or Path("runs") / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    (cell,) = cells_of(root, datasets, methods, seeds, preset.value, overrides, device, flat=True)
    announce(f"{cell.method} on {cell.dataset}, seed {cell.seed} -> {root}")
    (outcome,) = attempt(run_batch, [cell])
    if outcome.status not in {"done", "skipped"}:
        complain([f"{outcome.cell}: {outcome.status} {outcome.reason}".rstrip()])
        raise typer.Exit(1)
    print_run(cell.run.folder)


def benchmark(
    overrides: Overrides = None,
    config: Config = None,
    preset: Annotated[Preset | None, typer.Option(help="quick (minutes), standard (10 seeds), paper (30).")] = None,
    datasets: Datasets = None,
    methods: Annotated[str | None, typer.Option(help="Methods, a,b.  [default: by preset]")] = None,
    seeds: Seeds = None,
    device: Device = "cpu",
    jobs: Jobs = None,
    stack: Stack = None,
    tuned: Annotated[Path | None, typer.Option(help="What `praesidium tune` has chosen.", metavar="FILE")] = None,
    out: Out = None,
) -> None:
    """Train and judge every method on every data set, and print the crisis table. Run it again to resume."""
    from praesidium.experiments.grid import PRESETS

    flags = {"preset": preset, "datasets": datasets, "methods": methods, "seeds": seeds, "out": out}
    told = preset_by(config, overrides=overrides, **flags)
    size = PRESETS[_size(told["preset"])]
    _run_grid(
        root=Path(told["out"] or Path("results") / size.name),
        datasets=told["datasets"] or size.datasets,
        methods=told["methods"] or ",".join(size.methods),
        seeds=told["seeds"] or size.seeds,
        preset=size.name,
        overrides=told["overrides"],
        device=device,
        jobs=jobs,
        stack=stack,
        tuned=tuned,
    )


def ablate(
    overrides: Overrides = None,
    config: Config = None,
    preset: Annotated[Preset | None, typer.Option(help="As of benchmark.  [default: standard]")] = None,
    datasets: Datasets = None,
    names: Annotated[
        str | None, typer.Option("--names", "--ablation_names", help="Ablations, a,b.  [default: all twelve]")
    ] = None,
    seeds: Seeds = None,
    device: Device = "cpu",
    reduced: Annotated[bool, typer.Option("--reduced", help="The quick preset: minutes.")] = False,
    jobs: Jobs = None,
    stack: Stack = None,
    out: Out = None,
) -> None:
    """Run the twelve published ablations, and print what each takes from hirm_full. Run it again to resume."""
    from praesidium.experiments.grid import PRESETS
    from praesidium.experiments.methods import ABLATIONS

    flags = {"preset": preset, "datasets": datasets, "methods": names, "seeds": seeds, "out": out}
    told = preset_by(config, overrides=overrides, **flags)
    size = PRESETS["quick" if reduced else _size(told["preset"] or "standard")]
    root = Path(told["out"] or Path("results/ablation") / size.name)
    _run_grid(
        root=root,
        datasets=told["datasets"] or BOTH,
        methods=told["methods"] or ",".join(ABLATIONS),
        seeds=told["seeds"] or size.seeds,
        preset=size.name,
        overrides=told["overrides"],
        device=device,
        jobs=jobs,
        stack=stack,
    )


def tune(
    overrides: Overrides = None,
    methods: Annotated[str, typer.Option(help="Methods, a,b.")] = "erm,hirm",
    datasets: Annotated[str, typer.Option(help="One data set.")] = "synthetic_heston",
    preset: PresetOption = Preset.quick,
    trials: Annotated[int, typer.Option(min=1, help="Random settings of each method; the first is its default.")] = 16,
    seeds: Annotated[str, typer.Option(help="Development seeds, which no report uses.")] = "1000..1002",
    grid: Annotated[
        str | None, typer.Option(help="Values of one setting in place of random ones.", metavar="KEY=V,V,...")
    ] = None,
    device: Device = "cpu",
    jobs: Jobs = None,
    out: Annotated[Path, typer.Option(help="Folder for the trials and tuned.yaml.", metavar="DIR")] = Path(
        "results/tuning"
    ),
) -> None:
    """Search the settings of each method with the same budget; choose by the validation risk alone."""
    from praesidium.experiments.grid import parse_names, parse_seeds
    from praesidium.experiments.tuning import search_cells
    from praesidium.reporting.selection import draw_sweep, select, write_selection

    _one("datasets", parse_names(datasets, "datasets"))
    parse_seeds(seeds)
    cells: list[Cell] = []
    for folder, changes, method in search_cells(parse_names(methods, "methods"), trials=trials, grid=grid):
        cells += cells_of(out / folder, datasets, method, seeds, preset.value, [*changes, *(overrides or [])], device)
    failures = _run_waiting(cells, out, jobs=jobs)
    chosen = select(out)
    written = [*write_selection(chosen, out), *(draw_sweep(out, grid) if grid else ())]
    console().print(chosen.table())
    typer.echo(f"written: {', '.join(map(str, written))}")
    raise typer.Exit(1 if failures else 0)


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
        cells = cells_of(Path(nowhere), datasets, methods, seeds, preset.value, overrides, device)
        planned = plan(cells, jobs=1, stack=stack)
    announce(planned.reason)
    print_profiles(run(planned, device), console())


def _run_grid(
    *,
    root: Path,
    datasets: str,
    methods: str,
    seeds: str,
    preset: str,
    overrides: list[str],
    device: str,
    jobs: int | None,
    stack: int | None,
    tuned: Path | None = None,
) -> None:
    """Run what is not done, then report on everything that lies in the folder."""
    from praesidium.cli.results import judge_folder, summarize_folder
    from praesidium.experiments.grid import parse_names
    from praesidium.experiments.tuning import read_tuned

    own = read_tuned(tuned) if tuned else {}
    cells = cells_of(root, datasets, methods, seeds, preset, overrides, device, own=own)
    failures = _run_waiting(cells, root, jobs=jobs, stack=stack)
    if len(failures) < len(cells):
        summarize_folder(root, parse_names(datasets, "datasets"), parse_names(methods, "methods"))
        judge_folder(root)
    raise typer.Exit(1 if failures else 0)


def _run_waiting(cells: list[Cell], root: Path, *, jobs: int | None, stack: int | None = None) -> list[str]:
    """Run the cells that are not done; one sentence for each that has no result then, told already."""
    from praesidium.experiments.engines import Local
    from praesidium.experiments.expectation import expected
    from praesidium.experiments.grid import run_grid
    from praesidium.experiments.planner import plan
    from praesidium.reporting.progress import follow

    planned = plan(cells, jobs=jobs, stack=stack)
    before = len(cells) - sum(len(batch) for batch in planned.batches)
    announce(f"{len(cells)} cells, {before} of them done -> {root}")
    announce(f"{planned.reason}; {expected(planned)}")
    failures = follow(run_grid(planned.batches, Local(jobs=planned.jobs), root), len(cells), before=before)
    complain(failures)
    return failures


def _size(preset: Any) -> str:
    try:
        return Preset(str(preset or "quick")).value
    except ValueError:
        raise InputError(f"preset: {preset!r} is unknown; known: {', '.join(Preset)}") from None


def _one(what: str, names: list[Any]) -> None:
    if len(names) > 1:
        raise InputError(f"{what}: one is wanted, not {len(names)}; for several run praesidium benchmark")
