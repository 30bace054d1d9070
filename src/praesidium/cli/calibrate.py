"""The command that calibrates a market to prices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from praesidium.cli.terminal import announce, console
from praesidium.component import InputError, unknown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from praesidium.data.calibrated import Placed
    from praesidium.data.prices import Prices
    from praesidium.markets.calibration.estimate import Calibration

TEMPLATE = "synthetic_heston"


def calibrate(
    data: Annotated[str, typer.Option(help="sp500, real_spy, or a price CSV.", metavar="NAME|FILE")] = "sp500",
    market: Annotated[str, typer.Option(help="gbm, heston, bates or merton.", metavar="KIND")] = "heston",
    first: Annotated[str | None, typer.Option(help="First day.  [default: of the prices]", metavar="DATE")] = None,
    last: Annotated[str | None, typer.Option(help="Last day.  [default: of the prices]", metavar="DATE")] = None,
    keep_windows: Annotated[
        bool, typer.Option("--keep-windows", help="Use the days of the crisis windows too, which test.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="YAML to write, a data set.", metavar="FILE")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file that is there.")] = False,
) -> None:
    """Calibrate a market to daily prices, with 95 % intervals, and freeze it as a data set."""
    from praesidium.data.calibrated import TARGET, place
    from praesidium.data.sources import prices_by_name
    from praesidium.experiments.store import write_text
    from praesidium.markets.calibration.calibrate import KNOWN
    from praesidium.markets.calibration.calibrate import calibrate as fit
    from praesidium.training.reproducibility import stream

    if market not in KNOWN:
        raise InputError(unknown("market", market, KNOWN))
    days = [_day(name, value) for name, value in (("first", first), ("last", last))]
    if out and out.suffix not in (".yaml", ".yml"):
        raise InputError(f"out: {out} does not end in .yaml; name the data set that is to be written")
    if out and out.exists() and not force:
        raise InputError(f"out: {out} is there already; name another file, or replace it with --force")
    prices = prices_by_name(data)
    returns, left_out, span = _returns(prices, *days, keep_windows=keep_windows)
    announce(f"{market} on {prices.name}, {span}")

    found = fit(returns, dynamics=market, generator=stream("calibrate", market))
    _print(found, f"{market} on {prices.name}, {found.days} daily log returns, {span}")
    for warning in found.warnings:
        announce(f"warning: {warning}")
    if not out:
        return
    settings, placed = place(found, _template(), generator=stream("calibrate", "place"))
    for name, one in placed.items():
        if one.inside < TARGET:
            announce(f"warning: {name}: realized volatility is in its band on {one.inside:.0%} of the paths only")
    told = {"--data": data, "--market": market, "--first": first, "--last": last}
    command = " ".join(f"{flag} {value}" for flag, value in told.items() if value) + " --keep-windows" * keep_windows
    write_text(out, _text(found, settings, placed, command, f"{prices.name}, {span}", left_out))
    typer.echo(f"written: {out}; train on it with: praesidium train --datasets calibrated data.path={out}")


def _day(name: str, value: str | None) -> str | None:
    from datetime import date

    try:
        return date.fromisoformat(value).isoformat() if value else None
    except ValueError:
        raise InputError(f"{name}: {value!r} is no day; write it as 2019-12-31") from None


def _returns(
    prices: Prices, first: str | None, last: str | None, *, keep_windows: bool
) -> tuple[NDArray[np.float64], list[str], str]:
    """Log returns between two days, NaN in windows; names of the windows that were left out; the days in words."""
    import numpy as np

    from praesidium.data.splits import WINDOWS, window_days

    first, last = first or f"{prices.dates[0]:%Y-%m-%d}", last or f"{prices.dates[-1]:%Y-%m-%d}"
    if last < first:
        raise InputError(f"last: {last} is before the first day, {first}; exchange them")
    dates, returns = prices.dates[1:], prices.log_returns  # a return is known on the later of its two days
    inside = (prices.dates[:-1] >= first) & (dates <= last)
    if not inside.any():
        raise InputError(
            f"first: {prices.name} has no returns from {first} to {last}; its prices run from "
            f"{prices.dates[0]:%Y-%m-%d} to {prices.dates[-1]:%Y-%m-%d}"
        )
    left_out = []
    for window in () if keep_windows else WINDOWS:
        days = window_days(dates, window)
        if inside[days].any():
            left_out.append(window.name)
            returns[days] = np.nan
    return returns[inside], left_out, f"{dates[inside][0]:%Y-%m-%d} to {dates[inside][-1]:%Y-%m-%d}"


def _template() -> dict[str, Any]:
    import yaml

    from praesidium.experiments.composition import CONF

    return yaml.safe_load((CONF / "data" / f"{TEMPLATE}.yaml").read_text(encoding="utf-8"))


def _print(found: Calibration, title: str) -> None:
    from rich.table import Table

    shown = Table(title=title, title_justify="left")
    for name in ("parameter", "estimate", "s.e.", "95 % low", "95 % high", "identified"):
        shown.add_column(name, justify="left" if name == "parameter" else "right")
    for name, one in found.estimates.items():
        numbers = (f"{number:.4g}" for number in (one.value, one.standard_error, one.low, one.high))
        shown.add_row(name, *numbers, "yes" if one.identified else "no")
    console().print(shown)
    beside = Table(title="moments", title_justify="left")
    for name in ("moment", "data", "fitted", "s.d. of the moment"):
        beside.add_column(name, justify="left" if name == "moment" else "right")
    for name, one in found.moments.items():
        beside.add_row(name, f"{one.data:.3f}", f"{one.fitted:.3f}", "" if one.error is None else f"{one.error:.3f}")
    console().print(beside)


def _text(
    found: Calibration,
    settings: dict[str, Any],
    placed: dict[str, Placed],
    command: str,
    prices: str,
    left_out: list[str],
) -> str:
    """The data set as YAML, after comments that say where each number comes from."""
    cut = {name: one.kept for name, one in placed.items() if one.kept < 1}
    comments = [
        f"Written by: praesidium calibrate {command}",
        f"Prices: {prices}; {found.days} daily log returns, hash {found.data}.",
        f"Left out: {', '.join(left_out) or 'nothing'}.",
        "",
        *(
            f"{name}: {one.value:.4g}, s.e. {one.standard_error:.2g}, 95 % [{one.low:.4g}, {one.high:.4g}]"
            + ("" if one.identified else ", not identified")
            for name, one in found.estimates.items()
        ),
        *(f"Warning: {warning}." for warning in found.warnings),
        "",
        f"Levels, costs and roles are those of {TEMPLATE}; so are the crisis environments, fixed beforehand.",
        "Share of paths with their realized volatility in the band, the lesser of history and episode:",
        *(f"  {name} {one.inside:.0%}" for name, one in placed.items()),
        *(["xi was cut to stay in the band, to this share of the calibrated one at the same level:"] if cut else []),
        *(f"  {name} {kept:.2f}" for name, kept in cut.items()),
    ]
    lines = [f"# {line}".rstrip() for line in comments]
    for name, value in settings.items():
        if name != "environments":
            lines.append(f"{name}: {_flow(value)}")
    lines.append("environments:")
    for name, environment in settings["environments"].items():
        lines.append(f"  {name}:")
        lines += [f"    {key}: {_flow(value)}" for key, value in environment.items()]
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    """Plain data as YAML on one line, nothing said by reference."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    text = yaml.dump(value, Dumper=Dumper, default_flow_style=True, sort_keys=False, width=10**6)
    return text.removesuffix("...\n").strip()
