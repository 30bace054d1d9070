"""Option quotes: a CSV as exchanges and vendors write it, brought into one table."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from praesidium.component import InputError
from praesidium.data.sheet import Sheet, numbers, read_content, read_dates, read_sheet

# Names as vendors have them, in small letters and digits alone; the first that is there counts.
NAMES = {
    "date": ("date", "quotedate", "tradedate", "datadate"),
    "expiry": ("expiry", "expiration", "expirationdate", "expirydate", "exdate", "expirdate", "expiredate"),
    "strike": ("strike", "strikeprice"),
    "right": ("type", "optiontype", "cpflag", "right", "callput", "putcall", "cp"),
    "bid": ("bid1545", "bid", "bestbid", "bidprice", "bidpx", "bideod"),
    "ask": ("ask1545", "ask", "bestoffer", "bestask", "askprice", "askpx", "offer", "askeod"),
    "implied": ("impliedvolatility1545", "impliedvolatility", "implvolatility", "impliedvol", "iv", "midiv"),
    "volume": ("volume", "tradevolume", "volu"),
    "spot": ("spot", "underlyingprice", "underlyinglast", "spotprice", "stockprice", "stkpx", "underlying"),
    "spot_now": ("activeunderlyingprice1545", "underlyingclose"),
    "spot_bid": ("underlyingbid1545", "underlyingbid", "underlyingbideod"),
    "spot_ask": ("underlyingask1545", "underlyingask", "underlyingaskeod"),
    "asset": ("underlyingsymbol", "actsymbol", "ticker", "secid"),
    "contract": ("contractsymbol", "optionsymbol"),
}
SIDES = {"call": ("c", "call"), "put": ("p", "put")}  # how columns begin where a row holds both
RIGHTS = {"c": "call", "call": "call", "calls": "call", "p": "put", "put": "put", "puts": "put"}
COLUMNS = ("date", "expiry", "strike", "right", "bid", "ask", "implied", "volume", "spot", "line")

_CONTRACT = re.compile(r"\D*?\d?\s*(\d{2})(\d{2})(\d{2})([CP])(\d{8})")  # SPY200117C00300000: day, right, thousandths


@dataclass(frozen=True, eq=False)
class OptionQuotes:
    """Quotes as they were read, bad ones included.

    Attributes:
        name: of the file.
        sha256: of its content.
        table: a row a quote: date, expiry, strike, right (call or put), bid, ask, implied (volatility), volume, spot
            and the line in the file; NaN where the file has no number.
        notes: what was understood, a sentence each.
    """

    name: str
    sha256: str
    table: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def dates(self) -> tuple[str, ...]:
        """Days of the quotes, rising."""
        return tuple(f"{day:%Y-%m-%d}" for day in sorted(self.table["date"].unique()))


def read_quotes(path: Path, *, date: str | None = None) -> OptionQuotes:
    """Quotes of one underlying from a CSV.

    Understood are the columns of OptionMetrics, CBOE, OptionsDX, ORATS and yfinance and what is close to them: a row a
    quote, or calls and puts side by side. Expiry, right and strike may stand in the symbol of the contract.

    Args:
        path: of the file.
        date: day of all quotes (2019-12-31), for a file that does not tell.

    Raises:
        InputError: if a column is missing, a date, right or strike cannot be read, or there are several underlyings.
    """
    content = read_content(path, "a CSV with option quotes")
    sheet = read_sheet(content, path.name)
    if not sheet.lines:
        raise InputError(f"{path.name}: has a header but no rows; export the quotes again")
    columns = _Columns(sheet)
    columns.check_one_asset()
    notes: list[str] = []
    lines = np.array(sheet.lines)
    days = columns.cells("date") or ([date] * len(lines) if date else None)
    expiries = columns.needed("expiry")
    if days is None:
        raise InputError(f"{path.name}: no date column among {columns.shown}; give the day of the quotes with --date")
    # Read together, so that dates with a day above 12 tell the order of day and month in both columns.
    dates, _ = read_dates(path.name, [*days, *expiries], [*sheet.lines, *sheet.lines])
    common = {
        "date": dates[: len(lines)],
        "expiry": dates[len(lines) :],
        "strike": _strikes(columns, notes),
        "spot": columns.spot(),
        "line": lines,
    }
    rights = columns.cells("right")
    if rights:
        known = [RIGHTS.get(cell.lower()) for cell in rights]
        _check(sheet, rights, [one is None for one in known], "option type", "write call or put")
        parts = [{"right": known, **columns.quotes()}]
    else:
        parts = [{"right": side, **columns.side(prefixes)} for side, prefixes in SIDES.items()]
        notes.append("Each row holds a call and a put.")
    tables = [pd.DataFrame({**common, **part}, columns=list(COLUMNS)) for part in parts]
    table = pd.concat(tables).sort_values(by="line", kind="stable").reset_index(drop=True)
    return OptionQuotes(path.name, hashlib.sha256(content).hexdigest(), table, tuple(notes))


class _Columns:
    """The columns of a sheet by what they mean."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        places = {re.sub("[^a-z0-9]", "", key): key for key in reversed(sheet.cells)}
        self.found = {key: sheet.cells[place] for key, place in places.items()}
        contracts = self.cells("contract")
        if contracts is not None:
            self.found = _split(sheet, contracts) | self.found

    @property
    def shown(self) -> str:
        return ", ".join(map(repr, self.sheet.labels.values()))

    def cells(self, what: str, prefix: str = "") -> list[str] | None:
        return next((self.found[prefix + one] for one in NAMES[what] if prefix + one in self.found), None)

    def needed(self, what: str, prefix: str = "", called: str = "") -> list[str]:
        cells = self.cells(what, prefix)
        if cells is None:
            called = called or what
            raise InputError(f"{self.sheet.name}: no {called} column among {self.shown}; name one {called!r}")
        return cells

    def numbers(self, what: str, prefix: str = "") -> NDArray[np.float64]:
        cells = self.cells(what, prefix)
        return np.full(len(self.sheet.lines), np.nan) if cells is None else numbers(cells)

    def quotes(self, prefix: str = "") -> dict[str, NDArray[np.float64]]:
        sides = {what: numbers(self.needed(what, prefix)) for what in ("bid", "ask")}
        return sides | {what: self.numbers(what, prefix) for what in ("implied", "volume")}

    def side(self, prefixes: tuple[str, ...]) -> dict[str, NDArray[np.float64]]:
        prefix = next((one for one in prefixes if self.cells("bid", one) is not None), None)
        if prefix is None:
            self.needed("right", called="type")
        return self.quotes(prefix or "")

    def spot(self) -> NDArray[np.float64]:
        middle = 0.5 * (self.numbers("spot_bid") + self.numbers("spot_ask"))
        found = np.full(len(middle), np.nan)
        for one in (self.numbers("spot"), self.numbers("spot_now"), middle):
            found = np.where(np.isnan(found) & (one > 0), one, found)
        return found

    def check_one_asset(self) -> None:
        names = sorted(set(self.cells("asset") or ()))
        if len(names) > 1:
            raise InputError(f"{self.sheet.name}: {len(names)} underlyings ({names[0]}, {names[1]}, ...); keep one")


def _split(sheet: Sheet, contracts: list[str]) -> dict[str, list[str]]:
    """Expiry, right and strike in symbols of the Options Clearing Corporation."""
    matches = [_CONTRACT.fullmatch(cell) for cell in contracts]
    _check(sheet, contracts, [one is None for one in matches], "contract symbol", "write SPY200117C00300000")
    found = [one.groups() for one in matches if one]
    return {
        "expiry": [f"20{one[0]}-{one[1]}-{one[2]}" for one in found],
        "right": [one[3] for one in found],
        "strike": [str(int(one[4]) / 1000) for one in found],
    }


def _strikes(columns: _Columns, notes: list[str]) -> NDArray[np.float64]:
    cells = columns.needed("strike")
    strikes = numbers(cells)
    _check(columns.sheet, cells, np.isnan(strikes).tolist(), "strike", "write numbers")
    if "strike" not in columns.found and "cpflag" in columns.found:
        notes.append("Divided strikes by 1000, as OptionMetrics has them.")
        return strikes / 1000
    return strikes


def _check(sheet: Sheet, cells: list[str], wrong: list[bool], what: str, mend: str) -> None:
    if any(wrong):
        row, count = wrong.index(True), sum(wrong)
        shown = f"first: {cells[row]!r}, line {sheet.lines[row]}"
        raise InputError(f"{sheet.name}: {count} {what}{'s' * (count > 1)} cannot be read ({shown}); {mend}")
