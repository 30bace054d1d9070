"""Realized volatility and the bands that label regimes by it."""

from __future__ import annotations

import math
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from praesidium.markets.market import TRADING_DAYS

BANDS = {"low": (0.0, 0.10), "medium": (0.10, 0.25), "high": (0.25, 0.40), "crisis": (0.40, math.inf)}

_NAMES = np.array([*BANDS, ""])
_UPPER_EDGES = np.array([upper for _, upper in BANDS.values()][:-1])


def realized_volatility(log_returns: NDArray[np.float64], window: int = 20) -> NDArray[np.float64]:
    """Trailing annualized volatility: sqrt(252 mean r^2) over the last ``window`` returns, mean taken as zero.

    Args:
        log_returns: daily log returns.
        window: returns in the mean, the current one included.

    Returns:
        One value a return, NaN for the first ``window - 1``. Entry t looks at returns t - window + 1 .. t only.
    """
    if window < 1:
        raise ValueError(f"realized_volatility: window={window} is not a positive number of returns")
    volatility = np.full(len(log_returns), np.nan)
    if len(log_returns) >= window:
        squares = np.lib.stride_tricks.sliding_window_view(np.square(log_returns), window)
        volatility[window - 1 :] = np.sqrt(TRADING_DAYS * squares.mean(axis=-1))
    return volatility


@overload
def band_of(volatility: float) -> str: ...


@overload
def band_of(volatility: NDArray[np.float64]) -> NDArray[np.str_]: ...


def band_of(volatility: Any) -> Any:
    """Name of the band [lower, upper) that holds an annualized volatility; empty where it is NaN.

    A number gives a string, an array an array of strings.
    """
    place = np.searchsorted(_UPPER_EDGES, volatility, side="right")
    return _NAMES[np.where(np.isnan(volatility), -1, place)]
