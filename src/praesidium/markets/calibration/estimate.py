"""What a calibration finds: estimates with intervals, and the market that they make."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from praesidium.component import Component, InputError
from praesidium.markets.bates import Bates
from praesidium.markets.brownian import GeometricBrownian
from praesidium.markets.heston import Heston
from praesidium.markets.jumps import Merton
from praesidium.markets.market import Market

FEWEST_RETURNS = 250

Dynamics = Literal["gbm", "heston", "bates", "merton"]


class Estimate(Component):
    """One parameter.

    Attributes:
        value: the point estimate.
        standard_error: by the delta method, on the scale of ``value``.
        low, high: 95 % interval, within what is allowed.
        identified: whether the data tell more of it than what is allowed at all. If not, draw it from its interval.
    """

    value: float
    standard_error: float
    low: float
    high: float
    identified: bool


class Moment(Component):
    """One moment of the data beside that of the fitted market.

    Attributes:
        data: in the returns.
        fitted: mean over series of the market that are as long.
        error: standard deviation over such series; None where no series were simulated.
    """

    data: float
    fitted: float
    error: float | None = None


class Calibration(Component):
    """Estimates of one market's parameters, and all that they rest on.

    Attributes:
        dynamics: kind of the market.
        estimates: by name of the parameter, a year.
        days: returns that were used.
        data: hash of them, twelve hexadecimal digits.
        moments: data and fit side by side.
        warnings: one sentence each.
    """

    dynamics: Dynamics
    estimates: dict[str, Estimate]
    days: int
    data: str
    moments: dict[str, Moment]
    warnings: tuple[str, ...] = ()

    def market(self) -> Market:
        """The market at the point estimates; a variance process starts at its long-run mean."""
        value: dict[str, Any] = {name: estimate.value for name, estimate in self.estimates.items()}
        if self.dynamics == "gbm":
            return GeometricBrownian(**value)
        if self.dynamics == "merton":
            return Merton(base=GeometricBrownian(volatility=value.pop("volatility")), **value)
        stochastic = {"heston": Heston, "bates": Bates}[self.dynamics]
        return stochastic(**value, v0=(value["theta"], value["theta"]))


def check_returns(returns: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Days with a return; NaN marks a day that was left out.

    Raises:
        InputError: if they are too few, do not move, or are not finite.
    """
    if np.isinf(returns).any():
        raise InputError("returns: one is infinite, as from a price of zero; correct the prices")
    observed = ~np.isnan(returns)
    count = int(observed.sum())
    if count < FEWEST_RETURNS:
        raise InputError(f"returns: {count} are too few, a calibration needs {FEWEST_RETURNS}; give a longer history")
    if np.ptp(returns[observed]) == 0:
        raise InputError(f"returns: all {count} are equal, so that there is no volatility; check the prices")
    return observed


def fingerprint_of(returns: NDArray[np.float64]) -> str:
    """Twelve hexadecimal digits that change with a return or with the days left out."""
    return hashlib.sha256(np.ascontiguousarray(returns, dtype="<f8").tobytes()).hexdigest()[:12]
