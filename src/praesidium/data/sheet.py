"""Sheets: cells of a CSV as people and vendors write them, by column name and line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from praesidium.component import InputError

_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})([T ].*)?|(\d{4})(\d{2})(\d{2})")
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})([T ,].*)?")
_MONTH_BY_NAME = ("%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%d %b %Y", "%d %B %Y")
_PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_GROUPED_NUMBER = re.compile(r"\d{1,3}((,\d{3})+\.\d+|(,\d{3}){2,})")  # "3,225" alone could be a decimal comma


@dataclass(frozen=True)
class Sheet:
    """Cells of a CSV by normalized column name, the names as written, and the line on which each row ends."""

    name: str
    labels: dict[str, str]
    cells: dict[str, list[str]]
    lines: list[int]

    def first_of(self, names: Sequence[str]) -> str | None:
        """The first of the names that a column has."""
        return next((key for key in names if key in self.cells), None)


def parse_day(name: str, given: str) -> pd.Timestamp:
    """A day as an option names it.

    Raises:
        InputError: if it is none, or has a time zone, which daily prices have not.
    """
    try:
        day = pd.Timestamp(given)
    except ValueError:
        day = pd.NaT
    if not isinstance(day, pd.Timestamp) or day.tzinfo is not None:
        raise InputError(f"{name}: {given!r} is no day; write it as 2005-01-03")
    return day


def read_content(path: Path, what: str = "a CSV with daily prices") -> bytes:
    """The bytes of a file, or a sentence about why there are none; ``what`` is what the file should be."""
    if path.is_dir():
        raise InputError(f"{path}: is a directory; name the CSV file in it")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give the path of {what}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None


def read_sheet(content: bytes, name: str, *, single: Sequence[str] = ()) -> Sheet:
    """Parse a CSV with any usual delimiter.

    Args:
        content: of the file; UTF-8, with or without a byte order mark.
        name: how messages call it.
        single: normalized names (small letters, blanks for underscores) of which there may be one column only; of
            others the first counts.

    Raises:
        InputError: if it is no CSV, is empty, has a row with more cells than the header, or a name twice.
    """
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
        raise InputError(f"{name}: is empty; export it again")
    header, body = [cell.strip() for cell in table[0][1]], table[1:]
    if [row[0].strip().lower() for _, row in body[:2]] == ["ticker", "date"]:
        header, body = ["Date", *header[1:]], body[2:]  # yfinance writes three rows of header
    for line, row in body:
        if any(cell.strip() for cell in row[len(header) :]):
            raise InputError(f"{name}: line {line} has {len(row)} cells, the header {len(header)}; quote or correct it")
    keys = [" ".join(label.replace("_", " ").rstrip("* ").lower().split()) for label in header]
    for key in single:
        if keys.count(key) > 1:
            raise InputError(f"{name}: {keys.count(key)} columns are called {key!r}; keep one asset")
    places = {key: keys.index(key) for key in keys}
    cells = {key: [row[place].strip() if place < len(row) else "" for _, row in body] for key, place in places.items()}
    return Sheet(name, {key: header[place] for key, place in places.items()}, cells, [line for line, _ in body])


def numbers(cells: Sequence[str]) -> NDArray[np.float64]:
    """Cells as numbers, NaN where one is none; a leading $ and unmistakable thousands commas are understood."""
    bare = [cell.removeprefix("$") for cell in cells]
    bare = [cell.replace(",", "") if _GROUPED_NUMBER.fullmatch(cell) else cell for cell in bare]
    return np.array([float(cell) if _PLAIN_NUMBER.fullmatch(cell) else np.nan for cell in bare], dtype=np.float64)


def read_dates(name: str, cells: Sequence[str], lines: Sequence[int]) -> tuple[pd.DatetimeIndex, int]:
    """Dates as written, and how many of them carried a time of day.

    Raises:
        InputError: if a cell is no date, or day and month cannot be told apart in all cells together.
    """
    year_last = [
        (match, line) for cell, line in zip(cells, lines, strict=True) if (match := _YEAR_LAST.fullmatch(cell))
    ]
    day_first = [line for match, line in year_last if int(match[1]) > 12]
    month_first = [line for match, line in year_last if int(match[3]) > 12]
    if year_last and bool(day_first) == bool(month_first):
        shown = f"first: {year_last[0][0].string!r}, line {year_last[0][1]}"
        raise InputError(f"{name}: day and month cannot be told apart ({shown}); write dates as 2019-07-03")
    known = {cell: _date(cell, day_first=bool(day_first)) for cell in set(cells)}
    found = [known[cell] for cell in cells]
    wrong = [place for place, day in enumerate(found) if day is None]
    if wrong:
        what = "date cannot" if len(wrong) == 1 else "dates cannot"
        shown = f"first: {cells[wrong[0]]!r}, line {lines[wrong[0]]}"
        raise InputError(f"{name}: {len(wrong)} {what} be read ({shown}); write dates as 2019-07-03")
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
