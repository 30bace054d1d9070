"""The crisis table for people, on a terminal or in a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from rich.console import Console
from rich.table import Table

from praesidium.data.volatility import band_of
from praesidium.experiments.profiling import PHASES, Profile
from praesidium.reporting.claims import Verdict
from praesidium.reporting.paired import median_interval

SCALE = 1e4  # basis points of the spot at inception


def print_tables(summary: pd.DataFrame, methods: list[str], console: Console) -> None:
    """Print, for every data set, the held-out environments and then the real windows.

    Args:
        summary: from :func:`praesidium.reporting.tables.summarize`.
        methods: order of the rows; a method without results is shown as missing.
        console: where to.
    """
    for dataset, rows in summary.groupby("dataset", sort=False):
        seeds = sorted(set(rows.seeds))
        count = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        _headline(f"{dataset}: CVaR-95 of the episodes' loss, bp of spot (seeds: {count})", console)
        console.print(_table(rows.query("role in ['test', 'validation']"), methods))
        windows = rows.query("role == 'window'")
        if len(windows):
            _headline(f"{dataset}: CVaR-95 of one day's loss in real windows, bp of spot", console)
            console.print(_table(windows, methods))
            peaks = windows.groupby("environment", sort=False).highest_volatility.first()
            bands = [f"{name} {peak:.0%} ({band_of(float(peak))})" for name, peak in peaks.items()]
            _note(f"highest 20-day volatility and its band: {', '.join(bands)}", console)
            short = windows.query("cvar95_se.isna()").groupby("environment", sort=False).n_eff.max()
            if len(short):
                names = ", ".join(f"{name} ({effective:.1f})" for name, effective in short.items())
                _note(f"n_eff < 3: no CI for {names}", console)
    _note("losses are positive and include the premium; ± is one standard error over episodes and seeds", console)
    _note("vs_erm: median change of the crisis CVaR-95 against erm with the same seed; negative is better", console)


def print_environments(rows: list[dict[str, Any]], title: str, console: Console) -> None:
    """Print one policy's scores, an environment a row."""
    _headline(title, console)
    table = Table()
    for name in ("environment", "role"):
        table.add_column(name, no_wrap=True)
    for name in ("CVaR-95 bp", "no premium bp", "mean PnL bp", "max drawdown bp", "turnover", "Sortino"):
        table.add_column(name, justify="right")
    for row in rows:
        bare = [row["cvar95_no_premium"], row["mean_pnl"], row["max_drawdown"]]
        scaled = ["" if one is None else f"{one * SCALE:.1f}" for one in bare]
        first = _cell(row["cvar95"], row["cvar95_se"], bold=row["role"] == "test")
        if row["role"] == "window":
            first += " a day" if row["cvar95_se"] is not None else " a day, n_eff < 3: no CI"
        sortino = "" if row["sortino"] is None else f"{row['sortino']:.2f}"
        table.add_row(row["environment"], row["role"], first, *scaled, f"{row['turnover']:.2f}", sortino)
    console.print(table)


def print_medians(rows: list[dict[str, Any]], console: Console, *, reference: str | None = None) -> None:
    """Print medians over seeds of the CVaR-95 of several policies, a method a row.

    With a reference also the median reduction against it in the first test environment, seed by seed, and its interval
    from order statistics.
    """
    frame = pd.DataFrame(rows)
    table = Table()
    table.add_column("method", no_wrap=True)
    environments = list(dict.fromkeys(frame.environment))
    for name in ("policies", *environments):
        table.add_column(name, justify="right")
    for method, own in frame.groupby("method", sort=False):
        medians = own.groupby("environment").cvar95.median()
        count = max(len(part) for _, part in own.groupby("environment"))
        table.add_row(str(method), str(count), *(f"{medians[name] * SCALE:.1f}" for name in environments))
    _headline("CVaR-95, bp of spot, medians over policies", console)
    console.print(table)
    tests = frame.query("role == 'test'")
    if reference is not None and len(tests):
        first = tests.environment.iloc[0]
        risks = tests.query("environment == @first").pivot_table(index="seed", columns="method", values="cvar95")
        for method in risks.columns.drop(reference, errors="ignore"):
            both = risks.reindex(columns=[method, reference]).dropna()
            if len(both):
                reductions = torch.tensor((1 - both[method] / both[reference]).to_numpy())
                inside = median_interval(reductions)
                interval = f"{inside.lower:+.1%} to {inside.upper:+.1%} ({inside.coverage:.1%})"
                middle = reductions.quantile(0.5).item()
                _note(f"{first}: {method} against {reference}, {len(both)} seeds: {middle:+.1%}, {interval}", console)


def print_profiles(profiles: Sequence[Profile], console: Console) -> None:
    """Print where the time of each method went, a phase a row."""
    table = Table()
    table.add_column("phase", no_wrap=True)
    table.add_column("what", no_wrap=True)
    for one in profiles:
        table.add_column(f"{one.method}, s", justify="right")
        table.add_column("share", justify="right")
    rows = [(name, what, [one.phases.get(name, 0.0) for one in profiles]) for name, what in PHASES.items()]
    rows.append(("other", "all else", [one.seconds - sum(one.phases.values()) for one in profiles]))
    for name, what, seconds in rows:
        shares = [f"{part / one.seconds:.0%}" for part, one in zip(seconds, profiles, strict=True)]
        columns = [cell for part, share in zip(seconds, shares, strict=True) for cell in (f"{part:.2f}", share)]
        table.add_row(name, what, *columns)
    table.add_row("all", "", *(cell for one in profiles for cell in (f"{one.seconds:.2f}", "100%")))
    console.print(table)


def print_ire(table: pd.DataFrame, console: Console) -> None:
    """Print invariance, robustness and efficiency by method, a table a data set; what cannot be told stays empty."""
    for dataset, rows in table.groupby("dataset", sort=False):
        _headline(f"{dataset}: medians over seeds", console)
        shown = Table()
        shown.add_column("method", no_wrap=True)
        for name in ("ISI", "C1", "C2", "C3", "IG bp", "IG-d2se bp", "IG norm", "WG bp", "VR", "ER", "TR", "context"):
            shown.add_column(name, justify="right")
        for row in rows.to_dict("records"):
            parts = [_number(row[name], ".3f") for name in ("isi", "c1", "c2", "c3")]
            parts += [_number(row[name], ".1f", SCALE) for name in ("ig", "ig_corrected")]
            parts += [_number(row["ig_norm"], ".2f"), _number(row["wg_max"], ".1f", SCALE)]
            parts += [_number(row[name], ".3f") for name in ("vr", "er", "tr", "context_sensitivity")]
            shown.add_row(str(row["method"]), *parts)
        console.print(shown)
    _note("C2 is empty where noise drowns a head gradient (noise-to-signal above 0.5); ISI needs all three", console)
    _note("IG, WG: over the environments not trained on; VR, ER, TR, context: in the first test environment", console)


def print_claims(verdicts: Sequence[Verdict], registration: str, console: Console) -> None:
    """Print each registered claim with what the runs say of it, and the numbers behind it."""
    _headline(f"registered claims (SHA-256 of the registration: {registration[:16]})", console)
    for one in verdicts:
        _headline(f"{one.id}  {one.verdict.upper()}", console)
        _note(one.sentence, console)


def print_bound(found: Mapping[str, Any], console: Console) -> None:
    """Print what the severity ladder says of the bound, an index a row."""
    _headline(f"IG <= k1 (1 - index) + k2 Delta + c on {found['runs']} runs, {found['cells']} cells", console)
    table = Table()
    for name in ("index", "runs", "k1", "k2", "violations (5 %)", "tightness", "gain over no index", "content"):
        table.add_column(name, justify="left" if name == "index" else "right")
    for name, one in found["indices"].items():
        if "refused" in one:
            table.add_row(name, str(one["runs"]), f"refused: {one['refused']}")
            continue
        frontier, gain = one["frontier"], one["frontier"]["isi_gain"]
        full = frontier["full"]
        table.add_row(
            name,
            str(one["runs"]),
            _number(full["k1"], ".4f"),
            _number(full["k2"], ".4f"),
            _number(full["violations"], ".1%"),
            _number(full["tightness"], ".2f"),
            f"{gain['value']:.2e} [{gain['low']:.2e}, {gain['high']:.2e}]",
            "yes" if frontier["isi_has_content"] else "no",
        )
    console.print(table)
    if "refused" not in found["gradients"]:
        for name, one in found["gradients"].items():
            interval = f"{one['value']:.2f} [{one['low']:.2f}, {one['high']:.2f}]"
            _note(f"rank correlation of risk differences with head gradients, {name}: {interval}", console)


def _number(value: Any, form: str, scale: float = 1.0) -> str:
    return "" if value is None or pd.isna(value) else f"{float(value) * scale:{form}}"


def _headline(text: str, console: Console) -> None:
    console.print(text, style="bold", highlight=False, soft_wrap=True)


def _note(text: str, console: Console) -> None:
    console.print(f"  {text}", style="dim", highlight=False, soft_wrap=True)


def _table(rows: pd.DataFrame, methods: list[str]) -> Table:
    """CVaR-95 by method and environment; for the crisis also the change against erm, and what it was paid with."""
    table = Table()
    table.add_column("method", no_wrap=True)
    tests = list(dict.fromkeys(rows.query("role != 'validation'").environment))
    environments = [*tests, *(name for name in dict.fromkeys(rows.environment) if name not in tests)]
    crisis = "crisis" in environments
    for name in environments:
        table.add_column(name.replace("_", " "), justify="right")
        if name == "crisis":
            table.add_column("vs_erm", justify="right")
    for name in ("mean PnL", "drawdown", "turnover") if crisis else ():
        table.add_column(f"crisis {name}", justify="right")
    cells = {(row["method"], row["environment"]): row for row in rows.to_dict("records")}
    best = rows.groupby("environment").cvar95.min()
    for method in methods:
        line = [method]
        for name in environments:
            row = cells.get((method, name))
            line.append(
                "missing"
                if row is None
                else _cell(row["cvar95"], row["cvar95_se"], bold=bool(row["cvar95"] == best[name]))
            )
            if name == "crisis":
                line.append(
                    "" if row is None or pd.isna(row["vs_erm"]) else f"{row['vs_erm']:+.0%}".replace("-0%", "+0%")
                )
        row = cells.get((method, "crisis"))
        if crisis and row is not None:
            line += [f"{row[name] * SCALE:.1f}" for name in ("mean_pnl", "max_drawdown")] + [f"{row['turnover']:.2f}"]
        table.add_row(*line)
    return table


def _cell(value: float, error: float | None, *, bold: bool) -> str:
    spread = "" if error is None or pd.isna(error) else f" ±{error * SCALE:.1f}"
    text = f"{value * SCALE:.1f}{spread}"
    return f"[bold]{text}[/bold]" if bold else text
