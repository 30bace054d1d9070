"""Calendar splits: crisis windows, and the training episodes that keep clear of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BeforeValidator, model_validator

from praesidium.component import Component


def _iso(value: object) -> str:
    return (value if isinstance(value, date) else date.fromisoformat(str(value))).isoformat()


IsoDate = Annotated[str, BeforeValidator(_iso)]
"""A day as ``2020-02-20``: plain data, and in the order of the calendar when compared."""


class Window(Component):
    """A stretch of the calendar that no training episode may touch, both ends included."""

    name: str
    first: IsoDate
    last: IsoDate
    role: Literal["test", "validation", "extra"]

    @model_validator(mode="after")
    def _runs_forward(self) -> Window:
        if self.last < self.first:
            raise ValueError(f"window {self.name!r} ends on {self.last}, before it begins on {self.first}")
        return self


WINDOWS = (
    Window(name="volmageddon_2018", first="2018-02-01", last="2018-03-31", role="test"),
    Window(name="covid_2020", first="2020-02-20", last="2020-06-30", role="test"),
    Window(name="selloff_2022", first="2022-01-03", last="2022-10-14", role="test"),
    Window(name="late_2018", first="2018-10-01", last="2018-12-31", role="validation"),
    Window(name="ltcm_1998", first="1998-08-03", last="1998-10-30", role="extra"),
    Window(name="dotcom_2002", first="2002-07-01", last="2002-10-31", role="extra"),
    Window(name="gfc_2008_09", first="2008-09-02", last="2009-06-30", role="extra"),
    Window(name="euro_2011", first="2011-08-01", last="2011-11-30", role="extra"),
)


def window_days(dates: pd.DatetimeIndex, window: Window) -> NDArray[np.intp]:
    """Positions in ``dates`` of the trading days inside a window."""
    return np.flatnonzero((dates >= pd.Timestamp(window.first)) & (dates <= pd.Timestamp(window.last)))


def legal_starts(
    dates: pd.DatetimeIndex,
    windows: Iterable[Window],
    *,
    first: str | date,
    last: str | date,
    horizon: int,
    lookback: int,
) -> NDArray[np.bool_]:
    """Days on which a training episode may start.

    The whole of it, from ``lookback`` days before the start to ``horizon`` days after, has to lie between ``first``
    and ``last`` and to touch no window. That is purge and embargo in one rule.

    Returns:
        One truth value a date. Prices play no part in it.
    """
    free = (dates >= pd.Timestamp(first)) & (dates <= pd.Timestamp(last))
    for window in windows:
        free[window_days(dates, window)] = False
    taken_before = np.concatenate([[0], np.cumsum(~free)])
    legal = np.zeros(len(dates), dtype=np.bool_)
    starts = np.arange(lookback, len(dates) - horizon)
    legal[starts] = taken_before[starts + horizon + 1] == taken_before[starts - lookback]
    return legal


def covered_segments(starts: NDArray[np.bool_], *, horizon: int, lookback: int) -> list[slice]:
    """Maximal runs of consecutive days that the episodes of legal ``starts`` cover, history included."""
    change = np.zeros(len(starts) + 1, dtype=np.int64)
    for start in np.flatnonzero(starts):
        change[start - lookback] += 1
        change[start + horizon + 1] -= 1
    covered = np.concatenate([[0], np.cumsum(change) > 0])
    edges = np.diff(covered.astype(np.int8))
    firsts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return [slice(int(begin), int(end)) for begin, end in zip(firsts, ends, strict=True)]
