"""Moments of daily log returns that tell the parameters of stochastic volatility and of jumps."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from praesidium.markets.market import TRADING_DAYS

CLUSTERING_LAGS = (1, 5, 10, 20, 40)
LEVERAGE_LAGS = (1, 5, 10, 20)
MOMENTS = (
    "log_variance",
    "log_kurtosis",
    "skew",
    *(f"clustering_{lag}" for lag in CLUSTERING_LAGS),
    *(f"leverage_{lag}" for lag in LEVERAGE_LAGS),
    "beyond_3_sd",
)

MONTH = 20
SLOPE_LAGS = range(5, 61)
EXTREME = 3.0


def moments(returns: NDArray[np.float64], observed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Moments of each series about its own mean, in the order of ``MOMENTS``.

    With r the centered return and s its standard deviation: log of the annual variance, log of E r^4 / s^4,
    E r^3 / s^3, the autocorrelations of r^2, E r_t r^2_{t+h} / s^3, and P(|r| > 3 s). All but the first are free of
    scale, and logarithms keep the first two near normal.

    Args:
        returns: (days, series).
        observed: days that count, the same in all series; what stands on the others is not looked at.

    Returns:
        (moments, series).
    """
    count = observed.sum()
    r = np.where(observed[:, None], returns, 0.0)
    r = np.where(observed[:, None], r - r.sum(0) / count, 0.0)
    square = r * r
    variance = square.sum(0) / count
    excess = np.where(observed[:, None], square - variance, 0.0)
    deviation = np.sqrt(variance)
    return np.stack(
        [
            np.log(variance * TRADING_DAYS),
            np.log((square * square).sum(0) / count / variance**2),
            (square * r).sum(0) / count / deviation**3,
            *(_lagged(excess, excess, lag, observed) * count / (excess * excess).sum(0) for lag in CLUSTERING_LAGS),
            *(_lagged(r, square, lag, observed) / deviation**3 for lag in LEVERAGE_LAGS),
            (np.abs(r) > EXTREME * deviation).sum(0) / count,
        ]
    )


def heston_from_moments(returns: NDArray[np.float64], observed: NDArray[np.bool_]) -> dict[str, float]:
    """Rough parameters of Heston, from one moment each.

    theta from E r^2; kappa from the slope of log acf(r^2) over lags 5 to 60, which decays as e^{-kappa h dt}; xi from
    the variance of the mean variance over a month D, theta xi^2 / (kappa^3 D^2) (e^{-kappa D} - 1 + kappa D), after
    the sampling noise 2 E v^2 / 20 of twenty squares; rho from E r_t r^2_{t+h} ~ rho xi theta dt^2 e^{-kappa h dt}.
    """
    dt, one = 1 / TRADING_DAYS, returns[:, None]
    r = np.where(observed, returns - returns[observed].mean(), 0.0)[:, None]
    square, seen = r * r, observed[:, None]
    theta = float(square[observed].mean()) / dt
    excess = np.where(seen, square - theta * dt, 0.0)
    power = float((excess[observed] ** 2).mean())
    clustering = np.array([_lagged(excess, excess, lag, observed)[0] / power for lag in SLOPE_LAGS])
    lags, clear = np.array(SLOPE_LAGS) * dt, clustering > 0.01
    slope = np.polyfit(lags[clear], np.log(clustering[clear]), 1)[0] if clear.sum() > 8 else -4.0
    kappa = float(np.clip(-slope, 1.0, 12.0))

    months = len(returns) // MONTH * MONTH
    whole = observed[:months].reshape(-1, MONTH).all(1)
    realized = square[:months, 0].reshape(-1, MONTH).mean(1)[whole] / dt
    squared = float((square[observed] ** 2).mean()) / (3 * dt * dt)
    spread = float(realized.var()) - 2 * squared / MONTH if len(realized) > 8 else 0.0
    decay = kappa * MONTH * dt
    xi = math.sqrt(max(spread, 0.0) * kappa * decay**2 / (theta * (math.expm1(-decay) + decay)))
    xi = float(np.clip(xi, 0.5 * math.sqrt(theta), 8 * math.sqrt(theta)))

    leverage = moments(one, observed)[[MOMENTS.index(f"leverage_{lag}") for lag in LEVERAGE_LAGS], 0]
    fading = np.exp(-kappa * dt * np.array(LEVERAGE_LAGS))
    rho = float((leverage / fading).mean()) * math.sqrt(theta) / (xi * math.sqrt(dt))
    return {"theta": theta, "kappa": kappa, "xi": xi, "rho": float(np.clip(rho, -0.85, -0.1))}


def _lagged(
    before: NDArray[np.float64], after: NDArray[np.float64], lag: int, observed: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Mean of before_t after_{t+lag} over the pairs of which both days count; both are zero on the others."""
    pairs = (observed[:-lag] & observed[lag:]).sum()
    return np.einsum("ts,ts->s", before[:-lag], after[lag:]) / max(pairs, 1)
