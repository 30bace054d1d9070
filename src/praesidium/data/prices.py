"""Price histories: a staged CSV, or the S&P 500 index that comes with skfolio."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from praesidium.component import InputError
from praesidium.data.staging import EPISODE, read_content, read_table, record_of


@dataclass(frozen=True, eq=False)
class Prices:
    """Daily closes of one asset.

    Attributes:
        dates: trading days, increasing, without time of day.
        close: closing price on each of them, in the unit of the source.
        name: what tables and file names call the asset.
        volume: units traded on each of them; None where the source has none.
    """

    dates: pd.DatetimeIndex
    close: NDArray[np.float64]
    name: str
    volume: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.close.shape != (len(self.dates),):
            raise ValueError(f"Prices: {len(self.dates)} dates, but close has shape {self.close.shape}")

    @property
    def log_returns(self) -> NDArray[np.float64]:
        """log(close[t + 1] / close[t]), one fewer than there are dates; entry t is known on ``dates[t + 1]``."""
        return np.diff(np.log(self.close))


def read_staged(path: Path) -> Prices:
    """Prices from a CSV that was staged, or from one that would pass staging as it is.

    The JSON record beside it, where there is one, vouches for the content.

    Raises:
        InputError: if the file changed since it was staged, or would be refused by staging.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file; stage a price CSV there first")
    content = read_content(path)
    allow_jumps, episode = False, EPISODE
    if record_of(path).exists():
        sha256, source, allow_jumps, episode = _record(record_of(path))
        if hashlib.sha256(content).hexdigest() != sha256:
            raise InputError(f"{path}: changed since it was staged; stage {source} again")
    table = read_table(content, path.name, allow_jumps=allow_jumps, episode=episode)
    return Prices(table.dates, table.columns["close"], path.stem, table.columns.get("volume"))


def sp500() -> Prices:
    """Adjusted closes of the S&P 500 index from 1990-01-02 to 2022-12-28, embedded in skfolio: no download."""
    from skfolio.datasets import load_sp500_index  # noqa: PLC0415  (importing skfolio takes seconds)

    frame = load_sp500_index()
    return Prices(pd.DatetimeIndex(frame.index, name="date"), frame["SP500"].to_numpy(np.float64), "sp500")


def _record(path: Path) -> tuple[str, str, bool, int]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return str(record["sha256"]), str(record["source"]), bool(record["allow_jumps"]), int(record["episode"])
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: is no staging record; delete it or stage the prices again") from None
