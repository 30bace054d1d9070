"""SVI: the smile of one maturity by five numbers, and its fit to quotes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, lsq_linear

from praesidium.component import InputError

FEWEST = 5  # quotes that five numbers need
STEEPEST = 2.0  # slope of total variance beyond which a wing has arbitrage (Lee 2004)
STARTS = 6  # of the outer search

Values = Any  # float, array or tensor: what comes in comes out


@dataclass(frozen=True)
class Slice:
    """Total implied variance w(k) = a + b (rho (k - m) + sqrt((k - m)^2 + sigma^2)), k the log of strike over forward.

    Functions take floats, arrays or tensors.

    Attributes:
        tau: years to maturity.
        a, b, rho, m, sigma: raw parameters; b >= 0, -1 <= rho <= 1, sigma > 0, and w >= 0 everywhere.

    Source: Gatheral and Jacquier 2014, "Arbitrage-free SVI volatility surfaces", eq. 3.1.
    """

    tau: float
    a: float
    b: float
    rho: float
    m: float
    sigma: float

    def __post_init__(self) -> None:
        bounds = {
            "tau": (self.tau, 0 < self.tau < math.inf, "positive and finite"),
            "a": (self.a, math.isfinite(self.a), "finite"),
            "b": (self.b, 0 <= self.b < math.inf, "finite and at least 0"),
            "rho": (self.rho, -1 <= self.rho <= 1, "between -1 and 1"),
            "m": (self.m, math.isfinite(self.m), "finite"),
            "sigma": (self.sigma, 0 < self.sigma < math.inf, "positive and finite"),
        }
        for name, (value, holds, what) in bounds.items():
            if not holds:
                raise InputError(f"svi: {name}={value} is not {what}; fit the slice to its quotes again")
        if self.least < -1e-12:
            raise InputError(f"svi: total variance falls to {self.least:.3g}; raise a until its minimum is positive")

    @property
    def least(self) -> float:
        """The smallest total variance, a + b sigma sqrt(1 - rho^2)."""
        return self.a + self.b * self.sigma * math.sqrt(1 - self.rho**2)

    @property
    def wings(self) -> tuple[float, float]:
        """Slopes of total variance far to the left (downward) and to the right, b (1 - rho) and b (1 + rho)."""
        return self.b * (1 - self.rho), self.b * (1 + self.rho)

    def total_variance(self, k: Values) -> Values:
        """w(k)."""
        x = k - self.m
        return self.a + self.b * (self.rho * x + (x * x + self.sigma**2) ** 0.5)

    def volatility(self, k: Values) -> Values:
        """Annual implied volatility, sqrt(w / tau)."""
        return (self.total_variance(k) / self.tau) ** 0.5

    def durrleman(self, k: Values) -> Values:
        """g(k) = (1 - k w' / 2 w)^2 - w'^2 / 4 (1 / w + 1 / 4) + w'' / 2: negative where butterflies cost less than 0.

        Proportional to the density of the log price that the smile implies.

        Source: Gatheral and Jacquier 2014, eq. 2.1.
        """
        x = k - self.m
        root = (x * x + self.sigma**2) ** 0.5
        w = self.a + self.b * (self.rho * x + root)
        slope = self.b * (self.rho + x / root)
        curvature = self.b * self.sigma**2 / root**3
        return (1 - 0.5 * k * slope / w) ** 2 - 0.25 * slope * slope * (1 / w + 0.25) + 0.5 * curvature

    def raised(self, by: float) -> Slice:
        """The slice with more total variance at every strike."""
        return Slice(self.tau, self.a + by, self.b, self.rho, self.m, self.sigma)


def fit(
    k: NDArray[np.float64],
    total_variance: NDArray[np.float64],
    tau: float,
    *,
    weights: NDArray[np.float64] | None = None,
) -> Slice:
    """Least squares in total variance: a, b and rho exactly for every m and sigma, which are searched for.

    For given m and sigma the slice is linear in a, b sigma (1 + rho) and b sigma (1 - rho), and its bounds are a box.
    Where the best such slice falls below zero, its place takes the best with a >= 0. Arbitrage between strikes is not
    excluded, but for wings of at most Lee's slope.

    Args:
        k: log of strike over forward of the quotes.
        total_variance: squared implied volatility times ``tau``.
        tau: years to maturity.
        weights: of the squared errors; equal if not given.

    Raises:
        InputError: if there are fewer than five strikes, a quote is not positive and finite, or a weight is negative.

    Source: De Marco and Martini 2009, "Quasi-explicit calibration of Gatheral's SVI model".
    """
    k, w = np.asarray(k, dtype=np.float64), np.asarray(total_variance, dtype=np.float64)
    if len(np.unique(k)) < FEWEST:
        raise InputError(
            f"svi: {len(np.unique(k))} strikes at {tau:.4g} years, but a slice needs {FEWEST}; leave the maturity out"
        )
    if not (np.isfinite(k).all() and np.isfinite(w).all() and (w > 0).all()):
        raise InputError(f"svi: a quote at {tau:.4g} years is not positive and finite; clean the quotes first")
    weight = np.ones_like(w) if weights is None else np.asarray(weights, dtype=np.float64)
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
        raise InputError(f"svi: weights at {tau:.4g} years are not finite, at least 0 and above 0 once; give others")
    root = np.sqrt(weight / weight.mean())

    def inner(m: float, sigma: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        y = (k - m) / sigma
        arc = np.sqrt(y * y + 1)
        columns = np.stack([np.ones_like(y), (arc + y) / 2, (arc - y) / 2], axis=1) * root[:, None]
        steep = STEEPEST * sigma
        for lowest in (-steep, 0.0):  # a may be negative, as long as the slice is not
            x = _in_box(columns, w * root, np.array([lowest, 0, 0]), np.array([w.max(), steep, steep]))
            if x[0] + math.sqrt(x[1] * x[2]) >= 0:
                break
        return columns @ x - w * root, x

    def outer(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return inner(x[0], math.exp(x[1]))[0] / w.mean()

    width = np.ptp(k)
    starts = [
        np.array([m, math.log(sigma)])
        for m in np.linspace(k.min() - 0.2 * width, k.max() + 0.2 * width, 9)
        for sigma in width * np.array([0.02, 0.08, 0.25, 0.8, 2.0])
    ]
    bounds = ([k.min() - 2 * width, math.log(1e-4 * width)], [k.max() + 2 * width, math.log(10 * width)])
    tried = [
        least_squares(outer, start, bounds=bounds, x_scale=(width, 1.0), xtol=1e-12, ftol=1e-14, gtol=1e-14)
        for start in sorted(starts, key=lambda start: (outer(start) ** 2).sum())[:STARTS]
    ]
    m, sigma = (best := min(tried, key=lambda one: one.cost)).x[0], math.exp(best.x[1])
    _, (a, up, down) = inner(m, sigma)
    b = (up + down) / (2 * sigma)
    rho = (up - down) / (up + down) if up + down > 0 else 0.0
    return Slice(float(tau), float(a), float(b), float(np.clip(rho, -1, 1)), float(m), float(sigma))


def _in_box(
    columns: NDArray[np.float64], target: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Linear least squares within bounds."""
    free: NDArray[np.float64] = np.linalg.lstsq(columns, target, rcond=None)[0].astype(np.float64)
    if (free >= low).all() and (free <= high).all():
        return free
    return np.clip(lsq_linear(columns, target, bounds=(low, high), method="bvls").x, low, high)
