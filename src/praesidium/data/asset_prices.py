"""Price tables: closes of several assets on the same days."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from praesidium.component import InputError, unknown
from praesidium.data.prices import sp500
from praesidium.data.sheet import Sheet, numbers, read_content, read_dates, read_sheet
from praesidium.data.staging import ADJUSTED_NAMES, BAR_NAMES, CLOSE_NAMES, DATE_NAMES, LARGEST_JUMP

STOCKS, INDEX = "sp500_stocks", "sp500"
SURVIVORS = (
    "survivorship: these 20 stocks were chosen because they lasted to 2022, so that every figure on them is too good; "
    "compare strategies with each other, not with what could have been earned"
)
PRICE_ONLY = "the index is a price index: no dividends, and cash earns nothing"
UNCHECKED = "the prices were checked for empty cells, doubles and jumps, not for how their assets were chosen"
LONGEST_STEP = 10  # days from one close to the next: exchanges were closed for 7 in 2001


@dataclass(frozen=True, eq=False)
class AssetPrices:
    """Daily closes of one asset or more.

    Attributes:
        name: what reports call the data.
        closes: positive, a column for each asset, by increasing date; nothing is missing.
        caution: what every report on them has to say.
    """

    name: str
    closes: pd.DataFrame
    caution: str

    @property
    def sha256(self) -> str:
        """Hash of names, dates and closes."""
        days = self.closes.index.to_numpy().astype("datetime64[D]").astype(np.int64)
        parts = ",".join(self.closes.columns).encode(), days.tobytes(), self.closes.to_numpy(np.float64).tobytes()
        return hashlib.sha256(b"".join(parts)).hexdigest()


def asset_prices(data: str, *, allow_jumps: bool = False) -> AssetPrices:
    """A price table by name: ``sp500_stocks`` and ``sp500`` come with skfolio, anything else is a CSV.

    Args:
        data: a name, or the path of a CSV with a date column and a column of closes for each asset.
        allow_jumps: of the CSV, accept closes that differ by more than a factor of 1.5 from one row to the next.

    Raises:
        InputError: if there is no such name, or the prices cannot be used.
    """
    if data == STOCKS:
        from skfolio.datasets import load_sp500_dataset  # noqa: PLC0415  (importing skfolio takes seconds)

        frame = load_sp500_dataset()
        return AssetPrices(data, frame.set_index(pd.DatetimeIndex(frame.index, name="date")), SURVIVORS)
    if data == INDEX:
        index = sp500()
        return AssetPrices(data, pd.DataFrame({"SP500": index.close}, index=index.dates), PRICE_ONLY)
    path = Path(data)
    if path.suffix.lower() != ".csv":
        raise InputError(unknown("data", data, (STOCKS, INDEX, "FILE.csv")))
    content = read_content(path, "a CSV with a date column and a column of closes for each asset")
    closes = read_closes(content, path.name, allow_jumps=allow_jumps)
    return AssetPrices(path.name, closes, "; ".join([UNCHECKED, *holes(closes.index)]))


def holes(days: pd.Index) -> list[str]:
    """What has to be said of days that lie far apart: nothing, or one phrase."""
    steps = np.diff(days.to_numpy()) // np.timedelta64(1, "D") if isinstance(days, pd.DatetimeIndex) else np.zeros(1)
    many, place = int((steps > LONGEST_STEP).sum()), int(steps.argmax())
    if not many:
        return []
    return [
        f"there is nothing between {days[place]:%Y-%m-%d} and {days[place + 1]:%Y-%m-%d}, and {many} such "
        f"hole{'s' * (many > 1)} in all, each counted as one day"
    ]


def read_closes(content: bytes, name: str, *, allow_jumps: bool = False) -> pd.DataFrame:
    """Parse and check a wide CSV: a date column and a column of closes for each asset, oldest day first.

    A file with opens, highs and lows beside the closes holds one asset: its (adjusted) closes, under the file's name.

    Nothing is filled in, dropped or sorted: a price that is missing is refused, with the day from which on there is
    none missing.

    Args:
        content: of the file.
        name: how messages call it; line numbers are those of the file.
        allow_jumps: see :func:`asset_prices`.

    Raises:
        InputError: one sentence that says what is wrong, where, and how to mend it.
    """
    sheet = read_sheet(content, name)
    read_sheet(content, name, single=tuple(sheet.labels))  # of columns that share a name one alone would be read
    dated = sheet.first_of(DATE_NAMES)
    if dated is None:
        shown = ", ".join(map(repr, sheet.labels.values()))
        raise InputError(f"{name}: no date column among {shown}; name one 'date'")
    close = sheet.first_of((*ADJUSTED_NAMES, *CLOSE_NAMES))
    bars = close is not None and sum(name in sheet.labels for name in BAR_NAMES) > 1
    assets = [close] if close is not None and bars else [key for key in sheet.labels if key != dated]
    if not assets or len(sheet.lines) < 2:
        raise InputError(
            f"{name}: {len(assets)} columns of prices and {len(sheet.lines)} rows; give one column an asset, two rows"
        )
    dates, _ = read_dates(name, sheet.cells[dated], sheet.lines)
    _check_order(sheet, dates)
    names = [Path(name).stem] if bars else [sheet.labels[key] for key in assets]
    columns = (numbers(sheet.cells[key]) for key in assets)
    closes = pd.DataFrame(dict(zip(names, columns, strict=True)), index=dates)
    _check_prices(sheet, assets, closes)
    if not allow_jumps:
        _check_jumps(sheet, closes)
    return closes


def _check_order(sheet: Sheet, dates: pd.DatetimeIndex) -> None:
    lines = np.array(sheet.lines)
    order = np.argsort(dates.to_numpy(), kind="stable")
    twice = np.flatnonzero(np.diff(dates.to_numpy()[order]) == np.timedelta64(0))
    if len(twice):
        one, other = lines[order[twice[0]]], lines[order[twice[0] + 1]]
        raise InputError(
            f"{sheet.name}: {dates[order[twice[0]]]:%Y-%m-%d} appears on lines {one} and {other}, {len(twice)} such "
            "rows in all; keep one row a day"
        )
    back = np.flatnonzero(np.diff(dates.to_numpy()) < np.timedelta64(0))
    if len(back):
        raise InputError(
            f"{sheet.name}: {dates[back[0] + 1]:%Y-%m-%d} on line {lines[back[0] + 1]} comes after "
            f"{dates[back[0]]:%Y-%m-%d}, {len(back)} such steps back in all; sort the rows, oldest first"
        )


def _check_prices(sheet: Sheet, assets: Sequence[str], closes: pd.DataFrame) -> None:
    values = closes.to_numpy()
    bad = ~(np.isfinite(values) & (values > 0))
    if not bad.any():
        return
    row, column = (int(place) for place in np.argwhere(bad)[0])
    last = int(np.flatnonzero(bad.any(1))[-1])
    whole = f"keep the rows from {closes.index[last + 1]:%Y-%m-%d} on, or " if last + 1 < len(closes) else ""
    if not whole and row > len(closes) // 2:
        whole = f"keep the rows before {closes.index[row]:%Y-%m-%d}, or "
    cell, day = sheet.cells[assets[column]][row], f"{closes.index[row]:%Y-%m-%d}"
    raise InputError(
        f"{sheet.name}: {bad.sum()} prices of {bad.any(0).sum()} assets are missing or not positive (first: {cell!r} "
        f"of {closes.columns[column]} on {day}, line {sheet.lines[row]}); {whole}leave these assets out; "
        "returns are no prices"
    )


def _check_jumps(sheet: Sheet, closes: pd.DataFrame) -> None:
    values = closes.to_numpy()
    jumps = np.argwhere(np.abs(np.diff(np.log(values), axis=0)) > np.log(LARGEST_JUMP))
    if len(jumps):
        row, column = jumps[0].tolist()
        before, after = values[row : row + 2, column]
        raise InputError(
            f"{sheet.name}: {len(jumps)} jumps by more than a factor of {LARGEST_JUMP} in a day (first: "
            f"{closes.columns[column]} on {closes.index[row + 1]:%Y-%m-%d}, from {before:g} to {after:g}, line "
            f"{sheet.lines[row + 1]}); adjust the prices for splits, or say --allow-jumps if they are real"
        )
