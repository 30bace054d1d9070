"""Geometric Brownian motion: its volatility in closed form."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from praesidium.markets.calibration.estimate import Calibration, Estimate, Moment, check_returns, fingerprint_of
from praesidium.markets.calibration.moments import MOMENTS, moments
from praesidium.markets.market import TRADING_DAYS

HEAVY = 4.0  # kurtosis of days, in standard errors under a normal law beyond three


def fit_gbm(returns: NDArray[np.float64]) -> Calibration:
    """Standard deviation s of the daily log returns times sqrt(252), with standard error s / sqrt(2 (n - 1)).

    The interval is exact for normal returns: (n - 1) s^2 / sigma^2 is chi-squared. Heavy tails make it too short, of
    which a warning tells. The drift is not estimated: markets are martingales.

    Args:
        returns: daily log returns; NaN on days left out.

    Raises:
        InputError: if the returns cannot be used.
    """
    observed = check_returns(returns)
    used = returns[observed]
    freedom = len(used) - 1
    volatility = float(used.std(ddof=1)) * math.sqrt(TRADING_DAYS)
    low, high = (volatility * math.sqrt(freedom / float(chi2.ppf(share, freedom))) for share in (0.975, 0.025))
    estimate = Estimate(
        value=volatility, standard_error=volatility / math.sqrt(2 * freedom), low=low, high=high, identified=True
    )
    found = dict(zip(MOMENTS, moments(returns[:, None], observed)[:, 0].tolist(), strict=True))
    fitted = {"log_variance": 2 * math.log(volatility), "log_kurtosis": math.log(3), "skew": 0.0}
    warnings = ()
    if math.exp(found["log_kurtosis"]) > 3 + HEAVY * math.sqrt(24 / len(used)):
        warnings = (
            f"volatility: the returns have a kurtosis of {math.exp(found['log_kurtosis']):.1f} and not 3, so that its "
            "interval is too short; calibrate heston or merton",
        )
    return Calibration(
        dynamics="gbm",
        estimates={"volatility": estimate},
        days=len(used),
        data=fingerprint_of(returns),
        moments={name: Moment(data=found[name], fitted=value) for name, value in fitted.items()},
        warnings=warnings,
    )
