"""What is kept of a fitted regime model, and its figure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from praesidium.component import InputError
from praesidium.data.sheet import parse_day
from praesidium.experiments.regimes import History
from praesidium.experiments.store import write_text
from praesidium.markets.market import TRADING_DAYS
from praesidium.regimes.causality import deciding
from praesidium.regimes.model import RegimeModel
from praesidium.reporting.plots.canvas import FORMATS
from praesidium.reporting.plots.regimes import regimes_figure

TABLE, RECORD, FIGURE = "regimes.csv", "regimes.json", "regimes.png"
FEWEST = 5


def keep(model: RegimeModel, seen: History, rows: int, folder: Path, *, heading: str) -> None:
    """Write the model as plain data, and its filtered probabilities by day; the record comes last.

    Args:
        model: fitted.
        seen: the prices.
        rows: returns that it was fitted on.
        folder: made if it is not there.
        heading: of the figure.
    """
    with deciding():
        told = np.asarray(model.filter(seen.returns.to_numpy()))
    columns = {f"regime_{number}": told[:, number] for number in range(told.shape[1])}
    table = pd.DataFrame({"price": seen.prices.iloc[1:], **columns}, index=seen.returns.index)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / TABLE, table.to_csv(index_label="day"))
    record = {
        "model": type(model).kind,
        "settings": model.get_params(),
        "learned": model.learned(),
        "data": seen.name,
        "rows": rows,
        "heading": heading,
    }
    write_text(folder / RECORD, json.dumps(record, indent=2))


def draw(folder: Path, *, first: str | None = None, last: str | None = None, out: Path | None = None) -> Path:
    """The figure of a fitted model, or of the days from ``first`` to ``last``.

    Args:
        folder: what :func:`keep` has written.
        first, last: days; the first and the last of all if left out.
        out: a .png, .pdf or .svg file, or a folder; by default in ``folder``.

    Raises:
        InputError: if the folder holds no fitted model, there are no such days, or the file is of another kind.
    """
    record, table = _read(folder)
    chosen = table.loc[_day(first, table, "first") : _day(last, table, "last")]
    if len(chosen) < FEWEST:
        span = f"{_name(table.index[0])} to {_name(table.index[-1])}"
        raise InputError(f"first, last: {len(chosen)} days lie between {first} and {last}; name days within {span}")
    until = table.index[int(record["rows"]) - 1]
    part = f"_{_name(chosen.index[0])}_{_name(chosen.index[-1])}" if first or last else ""
    own = FIGURE.replace(".", f"{part}.")
    path = folder / own if out is None else out / own if out.is_dir() else out
    if path.suffix[1:] not in FORMATS:
        raise InputError(f"out: {path} is no figure that can be written; end it in .{', .'.join(FORMATS)}")
    return regimes_figure(
        chosen["price"],
        chosen.drop(columns="price"),
        path,
        formats=[path.suffix[1:]],
        volatilities=[level * TRADING_DAYS**0.5 for level in record["learned"]["volatilities_"]],
        heading=record["heading"],
        fitted_until=until if chosen.index[0] < until < chosen.index[-1] else None,
    )


def _read(folder: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    try:
        record = json.loads((folder / RECORD).read_text())
        table = pd.read_csv(folder / TABLE, index_col="day")
    except (OSError, ValueError):
        raise InputError(f"{folder}: there is no fitted model here; make one with: praesidium regimes fit") from None
    if not pd.api.types.is_integer_dtype(table.index):
        table.index = pd.DatetimeIndex(table.index)
    return record, table


def _day(given: str | None, table: pd.DataFrame, name: str) -> Any:
    if given is None:
        return None
    try:
        return parse_day(name, given) if isinstance(table.index, pd.DatetimeIndex) else int(given)
    except ValueError:
        raise InputError(f"{name}: {given!r} is no day; write it as {_name(table.index[0])}") from None


def _name(day: Any) -> str:
    return f"{day:%Y-%m-%d}" if isinstance(day, pd.Timestamp) else f"{day}"
