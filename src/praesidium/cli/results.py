"""Commands that read what is there: judge again, summarize, diagnose, decide."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from praesidium.cli.options import Device, Folder, Root, check_device, folder_of
from praesidium.cli.terminal import console


def evaluate(
    checkpoints: Annotated[list[Path], typer.Argument(help="Checkpoints (.safetensors) of runs.", metavar="FILE...")],
    datasets: Annotated[str | None, typer.Option(help="Another data set to judge them on.")] = None,
    reference: Annotated[str | None, typer.Option(help="Method whose risk others are held against, by seed.")] = None,
    device: Device = "cpu",
    out: Annotated[Path | None, typer.Option(help="CSV to write; default, for one: artifacts of the run.")] = None,
) -> None:
    """Judge trained policies again, or on another data set; several on the same paths, with medians by method."""
    import pandas as pd

    from praesidium.component import InputError
    from praesidium.experiments.reevaluation import reevaluate
    from praesidium.experiments.store import write_text
    from praesidium.reporting.printing import print_environments, print_medians
    from praesidium.reporting.tables import environment_rows

    check_device(device)
    if len(checkpoints) > 1 and out is None:
        raise InputError(f"out: {len(checkpoints)} checkpoints need a file for their scores; add --out scores.csv")
    with TemporaryDirectory() as shelf:
        found = [reevaluate(one, dataset=datasets, device=device, shelf=shelf) for one in checkpoints]
    named = [
        {"method": one.method, "seed": one.seed, "step": one.step, **row}
        for one in found
        for row in environment_rows(one.metrics, one.data)
    ]
    path = out or found[0].folder / "artifacts" / f"evaluation_{found[0].dataset}.csv"
    write_text(path, pd.DataFrame(named).to_csv(index=False))
    if len(found) > 1:
        print_medians(named, console(), reference=reference)
    else:
        print_environments(named, f"{found[0].method} (step {found[0].step}) on {found[0].dataset}", console())
    typer.echo(f"written: {path}")


def summarize(folder: Folder = None, root: Root = None) -> None:
    """Write all tables and figures again from what is there, and print the crisis table."""
    summarize_folder(folder_of(folder, root), None, None)


def diagnose(
    folder: Folder = None,
    root: Root = None,
    out: Annotated[Path | None, typer.Option(help="JSON to write.  [default: DIR/diagnostics.json]")] = None,
) -> None:
    """Print the tables of invariance, robustness and efficiency by method."""
    from praesidium.experiments.store import finished, write_text
    from praesidium.reporting.ire import by_method, read_ire, write_diagnostics
    from praesidium.reporting.printing import print_ire

    place = folder_of(folder, root)
    runs = read_ire(finished(place))
    table = by_method(runs)
    print_ire(table, console())
    path = out or place / "diagnostics.json"
    write_text(path, str(table.to_json(orient="records", indent=2)))
    typer.echo(f"written: {path}, {write_diagnostics(runs, place)}")


def analyze(
    folder: Folder = None,
    root: Root = None,
    out: Annotated[Path | None, typer.Option(help="CSV to write.  [default: DIR/ablation_summary.csv]")] = None,
) -> None:
    """Print what each method of an ablation loses or gains against hirm_full, seed by seed, and write it as CSV."""
    from praesidium.experiments.store import write_text
    from praesidium.reporting.ablation import FILE, coverage_note, pivots, read_ablation

    place = folder_of(folder, root)
    table = read_ablation(place)
    for heading, shown in pivots(table):
        console().print(heading, style="bold", highlight=False, soft_wrap=True)
        console().print(shown)
    path = out or place / FILE
    write_text(path, table.to_csv(index=False, float_format="%.10g"))
    if note := coverage_note(table):
        typer.echo(f"  {note}")
    typer.echo(f"written: {path}")


def compare(
    folder: Annotated[Path, typer.Argument(help="Results of a study.", metavar="DIR")],
    pairs: Annotated[list[str], typer.Argument(help="Methods to compare.", metavar="METHOD:REFERENCE...")],
    datasets: Annotated[str, typer.Option(help="One data set.")] = "synthetic_heston",
    environment: Annotated[str, typer.Option(help="Where they are compared.")] = "crisis",
) -> None:
    """Print by how much methods reduce the CVaR-95 of others, with intervals over seeds and episodes."""
    from praesidium.component import InputError
    from praesidium.reporting.contrasts import contrast_table, contrasts

    split = [tuple(one.split(":")) for one in pairs]
    for given, one in zip(pairs, split, strict=True):
        if len(one) != 2:
            raise InputError(f"pairs: {given!r} is not METHOD:REFERENCE; write hirm:erm")
    found = contrasts(folder, datasets, environment, [(one[0], one[1]) for one in split])
    console().print(contrast_table(found))


def claims(
    folder: Folder = None,
    root: Root = None,
    protocol: Annotated[Path | None, typer.Option(help="Another pre-registration.", metavar="FILE")] = None,
) -> None:
    """Print each pre-registered claim as supported, practically equivalent, inconclusive or contradicted."""
    from praesidium.reporting.claims import judge, write_claims
    from praesidium.reporting.prereg import PACKAGED, fingerprint, load
    from praesidium.reporting.printing import print_claims

    place, file = folder_of(folder, root), protocol or PACKAGED
    verdicts = judge(place, load(file))
    print_claims(verdicts, fingerprint(file), console())
    typer.echo(f"written: {', '.join(map(str, write_claims(verdicts, fingerprint(file), place)))}")


def bound(
    folder: Folder = None,
    root: Root = None,
    datasets: Annotated[str, typer.Option(help="Severity ladder to judge all policies on.")] = "heston_ladder",
    methods: Annotated[str | None, typer.Option(help="Methods, a,b.  [default: all trained ones there]")] = None,
) -> None:
    """Test IG <= k1 (1 - ISI) + k2 Delta on a ladder of severities."""
    from praesidium.experiments.ladder import climb
    from praesidium.experiments.store import write_text
    from praesidium.reporting.bounds import examine
    from praesidium.reporting.printing import print_bound

    place = folder_of(folder, root)
    panel = climb(place, dataset=datasets, methods=methods.split(",") if methods else None)
    found = examine(panel, place)
    print_bound(found, console())
    write_text(place / "bound.json", json.dumps(found, indent=2))
    write_text(place / "bound.csv", panel.to_csv(index=False, float_format="%.8g"))
    typer.echo(f"written: {place / 'bound.json'}, {place / 'bound.csv'}")


def summarize_folder(root: Path, datasets: list[str] | None, methods: list[str] | None) -> None:
    """Write tables and figures of a results folder, print the tables."""
    from praesidium.experiments.methods import NAMED
    from praesidium.reporting.printing import print_tables
    from praesidium.reporting.study import report
    from praesidium.reporting.tables import arrange, read_results, summarize

    results = read_results(root)
    summary = summarize(results)
    there = set(summary.method)
    methods = methods or [name for name in NAMED if name in there] + sorted(there - set(NAMED))
    shown = arrange(summary, datasets or list(dict.fromkeys(summary.dataset)), methods)
    written = report(root, results, summary, shown)
    print_tables(shown, methods, console())
    if results.unfinished:
        typer.echo(f"not finished: {', '.join(results.unfinished)}")
    typer.echo(f"written: {', '.join(str(path) for path in written)}")


def judge_folder(root: Path) -> None:
    """Hold a results folder against the registered protocol and write its claims, where that protocol applies."""
    from praesidium.experiments.store import finished
    from praesidium.reporting.claims import judge, seeds_to_judge, write_claims
    from praesidium.reporting.prereg import PACKAGED, fingerprint, load

    prereg = load(PACKAGED)
    if seeds := seeds_to_judge(finished(root), prereg):
        verdicts = judge(root, prereg, seeds=seeds)
        counts = Counter(one.verdict for one in verdicts)
        told = ", ".join(f"{count} {word}" for word, count in counts.items())
        written = ", ".join(map(str, write_claims(verdicts, fingerprint(PACKAGED), root)))
        typer.echo(f"registered claims on {len(seeds)} of {len(prereg.seeds)} seeds: {told}; written: {written}")


def print_run(folder: Path) -> None:
    """Print the scores of one run."""
    from praesidium.experiments.store import Entry
    from praesidium.reporting.printing import print_environments
    from praesidium.reporting.tables import environment_rows

    run = Entry(folder)
    rows = environment_rows(run.metrics, run.settings["data"])
    print_environments(rows, "{method} on {dataset}, seed {seed}".format(**run.names), console())
    for alarm in run.metrics.get("training/alarms", []):
        typer.echo(f"alarm: {alarm}")
    typer.echo(f"written: {folder}")
