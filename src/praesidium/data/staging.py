"""Staging: a price CSV as people have it, checked and written in the one form that everything else reads."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from praesidium.component import InputError
from praesidium.data.sheet import Sheet, numbers, read_content, read_dates, read_sheet

DATE_NAMES = ("date", "datetime", "timestamp", "observation date", "time", "day", "", "unnamed: 0", "index")
ADJUSTED_NAMES = ("adj close", "adjusted close", "adj. close", "adjclose")
CLOSE_NAMES = ("close", "close/last", "last", "px last", "price")
BAR_NAMES = ("open", "high", "low")
EPISODE = 81  # rows: 20 days of history, inception, 60 days to maturity
LARGEST_JUMP = 1.5  # ratio of two closes in either direction, so that a 2:1 split is caught on a good day too


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


def read_table(content: bytes, name: str, *, allow_jumps: bool, episode: int) -> PriceTable:
    """Parse and check a price CSV; ``name`` is how messages call it, line numbers are those of the file."""
    sheet = read_sheet(content, name, single=(*ADJUSTED_NAMES, *CLOSE_NAMES))
    dated, adjusted, plain = map(sheet.first_of, (DATE_NAMES, ADJUSTED_NAMES, CLOSE_NAMES))
    chosen = adjusted or plain
    if dated is None or chosen is None:
        what, shown = "date" if dated is None else "close", ", ".join(map(repr, sheet.labels.values()))
        raise InputError(f"{name}: no {what} column among {shown}; name one {what!r} and stage again")
    if not sheet.lines:
        raise InputError(f"{name}: has a header but no rows; export the prices again")

    notes = [f"Took the closes from column {sheet.labels[chosen]!r}."]
    days, timed = read_dates(name, sheet.cells[dated], sheet.lines)
    if timed:
        notes.append(f"Reduced {timed} timestamps to the date that is written in them.")
    close = _closes(sheet, chosen)
    scale = np.ones_like(close)
    if adjusted and plain:
        notes[0] = f"Took the closes from column {sheet.labels[adjusted]!r}, not from {sheet.labels[plain]!r}."
    if adjusted:
        unadjusted = numbers(sheet.cells[plain]) if plain else np.zeros_like(close)
        scale = np.divide(close, unadjusted, out=np.full_like(close, np.nan), where=unadjusted > 0)
    columns = {"close": close}
    for key in (*BAR_NAMES, "volume"):
        if key in sheet.cells:
            values = numbers(sheet.cells[key]) * (1.0 if key == "volume" else scale)
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


def _closes(sheet: Sheet, column: str) -> NDArray[np.float64]:
    close = numbers(sheet.cells[column])
    wrong = np.flatnonzero(~(np.isfinite(close) & (close > 0)))
    if len(wrong):
        what = "price is not a positive number" if len(wrong) == 1 else "prices are not positive numbers"
        where = f"first: {sheet.cells[column][wrong[0]]!r}, line {sheet.lines[wrong[0]]}"
        raise InputError(f"{sheet.name}: {len(wrong)} {what} ({where}); correct or remove these rows and stage again")
    return close


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
