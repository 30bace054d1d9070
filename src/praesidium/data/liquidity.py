"""Illiquidity from daily prices and volumes, and its quartile among the days before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from praesidium.component import InputError
from praesidium.data.prices import Prices

WINDOW = 20
HISTORY = 756
FEWEST = 252  # days of history behind a quartile
PER_MILLION = 1e6


def amihud(prices: Prices, window: int = WINDOW) -> NDArray[np.float64]:
    """Trailing illiquidity: the mean of |r_t| / (close_t volume_t) over the last ``window`` days, per million traded.

    Args:
        prices: with volumes, in units that were traded.
        window: days in the mean, the current one included.

    Returns:
        One value a date; NaN for the first ``window`` dates, and wherever nothing was traded within the window. Entry t
        looks at days up to t only.

    Raises:
        InputError: if there are no volumes, or the window is not a number of days.

    Source: Amihud 2002, eq. 1, over a window in place of a year.
    """
    if window < 1:
        raise InputError(f"amihud: window={window} is not a positive number of days; 20 is usual")
    if prices.volume is None:
        raise InputError(
            f"{prices.name}: has no volumes, so that liquidity cannot be told; stage a CSV with a volume column"
        )
    traded = prices.close[1:] * prices.volume[1:]
    daily = np.divide(np.abs(prices.log_returns), traded, out=np.full(len(traded), np.nan), where=traded > 0)
    illiquidity = np.full(len(prices.close), np.nan)
    if len(daily) >= window:
        runs = np.lib.stride_tricks.sliding_window_view(daily, window)
        illiquidity[window:] = PER_MILLION * runs.mean(axis=-1)
    return illiquidity


def quartile(values: NDArray[np.float64], history: int = HISTORY) -> NDArray[np.int64]:
    """Quartile of each value among the ``history`` days up to and with it: 1 lowest, 4 highest.

    Volumes and prices drift over decades: a value is held against its own years. Known values alone count, and a day
    with fewer than 252 of them has no quartile, which is 0. Entry t looks at values up to t only.
    """
    tags = np.zeros(len(values), dtype=np.int64)
    for now, value in enumerate(values):
        known = values[max(0, now + 1 - history) : now + 1]
        known = known[np.isfinite(known)]
        if np.isfinite(value) and len(known) >= FEWEST:
            tags[now] = 1 + np.searchsorted(np.quantile(known, [0.25, 0.5, 0.75]), value, side="left")
    return tags


def stressed_share(prices: Prices, days: NDArray[np.int64]) -> float | None:
    """Share of days in the highest illiquidity quartile; None without volumes, or where no day has a quartile."""
    if prices.volume is None:
        return None
    tags = quartile(amihud(prices))[days]
    known = tags[tags > 0]
    return float(np.mean(known == 4)) if len(known) else None
