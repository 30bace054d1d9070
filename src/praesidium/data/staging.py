"""Staging: a price CSV as people have it, checked and written in the one form that everything else reads."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from praesidium.component import InputError

DATE_NAMES = ("date", "datetime", "timestamp", "observation date", "time", "day", "", "unnamed: 0", "index")
ADJUSTED_NAMES = ("adj close", "adjusted close", "adj. close", "adjclose")
CLOSE_NAMES = ("close", "close/last", "last", "px last", "price")
BAR_NAMES = ("open", "high", "low")
EPISODE = 81  # rows: 20 days of history, inception, 60 days to maturity
LARGEST_JUMP = 1.5  # ratio of two closes in either direction, so that a 2:1 split is caught on a good day too

_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})([T ].*)?|(\d{4})(\d{2})(\d{2})")
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})([T ,].*)?")
_MONTH_BY_NAME = ("%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%d %b %Y", "%d %B %Y")
_PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_GROUPED_NUMBER = re.compile(r"\d{1,3}((,\d{3})+\.\d+|(,\d{3}){2,})")  # "3,225" alone could be a decimal comma


@dataclass(frozen=True, eq=False)
class PriceTable:
    """Checked prices in order of date: ``columns`` holds close and, where given, open, high, low, volume."""

    dates: pd.DatetimeIndex
    columns: dict[str, NDArray[np.float64]]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class StagingReport:
    """What was staged: the content of the JSON file beside the CSV. Hashes are SHA-256, dates ISO."""

    source: str
    source_sha256: str
    sha256: str
    rows: int
    first: str
    last: str
    columns: tuple[str, ...]
    allow_jumps: bool
    episode: int
    notes: tuple[str, ...]


def stage(source: Path, destination: Path, *, allow_jumps: bool = False, episode: int = EPISODE) -> StagingReport:
    """Check a price CSV and write it as ``date,close[,open,high,low,volume]``, with a JSON record beside it.

    Args:
        source: CSV with a date column and a close (or adjusted close) column; other columns are ignored.
        destination: the CSV to write; whatever is there stays as it is unless everything succeeds.
        allow_jumps: accept closes that differ by more than a factor of 1.5 from one row to the next.
        episode: rows that one episode needs, history included; fewer are refused.

    Raises:
        InputError: one sentence that says what is wrong, where, and how to mend it.
    """
    if destination.suffix != ".csv" or destination.is_dir():
        raise InputError(f"{destination}: the destination of staging is a file that ends in .csv")
    if source.resolve() == destination.resolve():
        raise InputError(f"{source}: is the destination itself; keep the source elsewhere")
    content = read_content(source)
    table = read_table(content, source.name, allow_jumps=allow_jumps, episode=episode)
    frame = pd.DataFrame({"date": table.dates.strftime("%Y-%m-%d"), **table.columns})
    if "volume" in frame and np.all(table.columns["volume"] % 1 == 0):
        frame["volume"] = frame["volume"].astype("int64")
    staged = frame.to_csv(index=False, lineterminator="\n").encode()
    report = StagingReport(
        source=source.name,
        source_sha256=hashlib.sha256(content).hexdigest(),
        sha256=hashlib.sha256(staged).hexdigest(),
        rows=len(frame),
        first=str(frame["date"].iloc[0]),
        last=str(frame["date"].iloc[-1]),
        columns=tuple(frame.columns),
        allow_jumps=allow_jumps,
        episode=episode,
        notes=table.notes,
    )
    _write_together({destination: staged, record_of(destination): json.dumps(asdict(report), indent=2).encode()})
    return report


def record_of(staged: Path) -> Path:
    """The JSON file beside a staged CSV."""
    return staged.with_suffix(".json")


def read_content(path: Path) -> bytes:
    """The bytes of a file, or a sentence about why there are none."""
    if path.is_dir():
        raise InputError(f"{path}: is a directory; name the CSV file in it")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give the path of a CSV with daily prices") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None


def read_table(content: bytes, name: str, *, allow_jumps: bool, episode: int) -> PriceTable:
    """Parse and check a price CSV; ``name`` is how messages call it, line numbers are those of the file."""
    sheet = _sheet(content, name)
    dated, adjusted, plain = map(sheet.first_of, (DATE_NAMES, ADJUSTED_NAMES, CLOSE_NAMES))
    chosen = adjusted or plain
    if dated is None or chosen is None:
        what, shown = "date" if dated is None else "close", ", ".join(map(repr, sheet.labels.values()))
        raise InputError(f"{name}: no {what} column among {shown}; name one {what!r} and stage again")
    if not sheet.lines:
        raise InputError(f"{name}: has a header but no rows; export the prices again")

    notes = [f"Took the closes from column {sheet.labels[chosen]!r}."]
    days, timed = _dates(name, sheet.cells[dated], sheet.lines)
    if timed:
        notes.append(f"Reduced {timed} timestamps to the date that is written in them.")
    close = _closes(sheet, chosen)
    scale = np.ones_like(close)
    if adjusted and plain:
        notes[0] = f"Took the closes from column {sheet.labels[adjusted]!r}, not from {sheet.labels[plain]!r}."
    if adjusted:
        unadjusted = _numbers(sheet.cells[plain]) if plain else np.zeros_like(close)
        scale = np.divide(close, unadjusted, out=np.full_like(close, np.nan), where=unadjusted > 0)
    columns = {"close": close}
    for key in (*BAR_NAMES, "volume"):
        if key in sheet.cells:
            values = _numbers(sheet.cells[key]) * (1.0 if key == "volume" else scale)
            if np.all(np.isfinite(values) & (values >= 0 if key == "volume" else values > 0)):
                columns[key] = values
            else:
                notes.append(f"Left out {key}: not a usable number on every row, or no plain close to adjust it by.")
    if adjusted and not columns.keys().isdisjoint(BAR_NAMES):
        notes.append(
            f"Multiplied {', '.join(key for key in BAR_NAMES if key in columns)} by adjusted over plain close."
        )
    ignored = sheet.labels.keys() - {dated, adjusted, plain, *BAR_NAMES, "volume"}
    if ignored:
        notes.append(f"Ignored {', '.join(repr(label) for key, label in sheet.labels.items() if key in ignored)}.")

    order = np.argsort(days.to_numpy(), kind="stable")
    if np.any(np.diff(order) < 0):
        notes.append("Sorted the rows by date.")
    dates = days[order]
    _check(name, dates, close[order], np.array(sheet.lines)[order], allow_jumps=allow_jumps, episode=episode)
    return PriceTable(dates, {key: values[order] for key, values in columns.items()}, tuple(notes))


def _check(
    name: str,
    dates: pd.DatetimeIndex,
    close: NDArray[np.float64],
    lines: NDArray[np.int64],
    *,
    allow_jumps: bool,
    episode: int,
) -> None:
    twice = np.flatnonzero(dates[1:] == dates[:-1])
    if len(twice):
        count = dates[1:][twice].nunique()
        often = "twice" if count == len(twice) else "more than once"
        where = f"first: {dates[twice[0]]:%Y-%m-%d}, lines {lines[twice[0]]} and {lines[twice[0] + 1]}"
        what = "date appears" if count == 1 else "dates appear"
        raise InputError(f"{name}: {count} {what} {often} ({where}); remove one of each and stage again")
    jumps = np.flatnonzero(np.abs(np.diff(np.log(close))) > np.log(LARGEST_JUMP))
    if len(jumps) and not allow_jumps:
        before, after = close[jumps[0]], close[jumps[0] + 1]
        where = f"{dates[jumps[0] + 1]:%Y-%m-%d}, {after / before - 1:+.1%}, from {before:g} to {after:g}"
        what = "jump" if len(jumps) == 1 else "jumps"
        raise InputError(
            f"{name}: {len(jumps)} {what} by more than a factor of {LARGEST_JUMP} in a day (first: {where}, line "
            f"{lines[jumps[0] + 1]}); adjust the prices for splits, or allow jumps if they are real"
        )
    if len(close) < episode:
        raise InputError(f"{name}: {len(close)} rows, but one episode needs {episode}; give a longer history")


@dataclass(frozen=True)
class _Sheet:
    """Cells of a CSV by normalized column name, the names as written, and the line on which each row ends."""

    name: str
    labels: dict[str, str]
    cells: dict[str, list[str]]
    lines: list[int]

    def first_of(self, names: Sequence[str]) -> str | None:
        return next((key for key in names if key in self.cells), None)


def _sheet(content: bytes, name: str) -> _Sheet:
    try:
        text = content.decode("utf-8-sig")
        if "\0" in text:
            raise UnicodeError
        first = next((line for line in text.splitlines() if line.strip()), "")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t|", key=first.count))
        table = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (UnicodeError, csv.Error):
        raise InputError(f"{name}: is not a text file with comma-separated values; save it as CSV (UTF-8)") from None
    if not table:
        raise InputError(f"{name}: is empty; export the prices again")
    header, body = [cell.strip() for cell in table[0][1]], table[1:]
    if [row[0].strip().lower() for _, row in body[:2]] == ["ticker", "date"]:
        header, body = ["Date", *header[1:]], body[2:]  # yfinance writes three rows of header
    for line, row in body:
        if any(cell.strip() for cell in row[len(header) :]):
            raise InputError(f"{name}: line {line} has {len(row)} cells, the header {len(header)}; quote or correct it")
    keys = [" ".join(label.replace("_", " ").rstrip("* ").lower().split()) for label in header]
    for key in (*ADJUSTED_NAMES, *CLOSE_NAMES):
        if keys.count(key) > 1:
            raise InputError(f"{name}: {keys.count(key)} columns are called {key!r}; keep one asset and stage again")
    places = {key: keys.index(key) for key in keys}
    cells = {key: [row[place].strip() if place < len(row) else "" for _, row in body] for key, place in places.items()}
    return _Sheet(name, {key: header[place] for key, place in places.items()}, cells, [line for line, _ in body])


def _closes(sheet: _Sheet, column: str) -> NDArray[np.float64]:
    close = _numbers(sheet.cells[column])
    wrong = np.flatnonzero(~(np.isfinite(close) & (close > 0)))
    if len(wrong):
        what = "price is not a positive number" if len(wrong) == 1 else "prices are not positive numbers"
        where = f"first: {sheet.cells[column][wrong[0]]!r}, line {sheet.lines[wrong[0]]}"
        raise InputError(f"{sheet.name}: {len(wrong)} {what} ({where}); correct or remove these rows and stage again")
    return close


def _numbers(cells: Sequence[str]) -> NDArray[np.float64]:
    """Cells as numbers, NaN where one is none; a leading $ and unmistakable thousands commas are understood."""
    bare = [cell.removeprefix("$") for cell in cells]
    bare = [cell.replace(",", "") if _GROUPED_NUMBER.fullmatch(cell) else cell for cell in bare]
    return np.array([float(cell) if _PLAIN_NUMBER.fullmatch(cell) else np.nan for cell in bare], dtype=np.float64)


def _dates(name: str, cells: Sequence[str], lines: Sequence[int]) -> tuple[pd.DatetimeIndex, int]:
    """Dates as written, and how many of them carried a time of day."""
    year_last = [
        (match, line) for cell, line in zip(cells, lines, strict=True) if (match := _YEAR_LAST.fullmatch(cell))
    ]
    day_first = [line for match, line in year_last if int(match[1]) > 12]
    month_first = [line for match, line in year_last if int(match[3]) > 12]
    if year_last and bool(day_first) == bool(month_first):
        shown = f"first: {year_last[0][0].string!r}, line {year_last[0][1]}"
        raise InputError(f"{name}: day and month cannot be told apart ({shown}); write dates as 2019-07-03")
    found = [_date(cell, day_first=bool(day_first)) for cell in cells]
    wrong = [place for place, day in enumerate(found) if day is None]
    if wrong:
        what = "date cannot" if len(wrong) == 1 else "dates cannot"
        shown = f"first: {cells[wrong[0]]!r}, line {lines[wrong[0]]}"
        raise InputError(f"{name}: {len(wrong)} {what} be read ({shown}); write dates as 2019-07-03 and stage again")
    timed = sum(bool((match := _YEAR_FIRST.fullmatch(cell)) and match[5]) for cell in cells)
    return pd.DatetimeIndex(np.array(found, dtype="datetime64[s]"), name="date"), timed + sum(
        bool(match[5]) for match, _ in year_last
    )


def _date(cell: str, *, day_first: bool) -> date | None:
    try:
        if match := _YEAR_FIRST.fullmatch(cell):
            return date(int(match[1] or match[6]), int(match[3] or match[7]), int(match[4] or match[8]))
        if match := _YEAR_LAST.fullmatch(cell):
            day, month = (match[1], match[3]) if day_first else (match[3], match[1])
            return date(int(match[4]), int(month), int(day))
    except ValueError:  # the 31st of June
        return None
    for form in _MONTH_BY_NAME:
        try:
            return datetime.strptime(cell, form).date()
        except ValueError:
            continue
    return None


def _write_together(files: dict[Path, bytes]) -> None:
    """All files or none: each is written beside its place first, then moved there."""
    waiting = {path: path.with_name(f".{path.name}.{os.getpid()}") for path in files}
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            waiting[path].write_bytes(content)
        for path, written in waiting.items():
            os.replace(written, path)
    finally:
        for written in waiting.values():
            written.unlink(missing_ok=True)
