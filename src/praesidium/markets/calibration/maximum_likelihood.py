"""Merton's jump diffusion by penalized maximum likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import gammaln, logsumexp
from scipy.stats import chi2

from praesidium.markets.calibration.coordinates import LOG, TWENTIETHS, Z95, Coordinate
from praesidium.markets.calibration.estimate import Calibration, Moment, check_returns, fingerprint_of
from praesidium.markets.calibration.moments import MOMENTS, moments
from praesidium.markets.market import TRADING_DAYS

COORDINATES = (
    Coordinate("volatility", 0.01, 2.0, LOG),
    Coordinate("intensity", 0.05, 20.0, LOG),
    Coordinate("jump_mean", -0.3, 0.3, TWENTIETHS),
    Coordinate("jump_sd", 0.005, 0.3, LOG),
)
MOST_JUMPS = 10  # a day
PENALTY_SIZE = 3.0  # daily standard deviations
FEWEST_JUMPS = 5.0
STEP = 1e-3  # of the Hessian's differences, on the scales
FLAT = 1e-6


def fit_merton(returns: NDArray[np.float64]) -> Calibration:
    """Maximum of the likelihood of centered returns as a Poisson mixture of normals, with a penalty.

    A day has n jumps, n up to 10, with Poisson probability of mean lambda dt, and then a normal return of variance
    sigma^2 dt + n s^2 and mean (n - lambda dt) m. The likelihood is unbounded as s -> 0 around one observation:
    hence s is at least half a percent and pays as one more jump of three daily standard deviations would,
    (log s^2 + (3 sd)^2 / s^2) / 2. Standard errors from the Hessian; best of four starts.

    Args:
        returns: daily log returns; NaN on days left out.

    Raises:
        InputError: if the returns cannot be used.

    Source: Honore 1998, "Pitfalls in estimating jump-diffusion models"; the penalty: Hamilton 1991.
    """
    observed = check_returns(returns)
    centered = returns[observed] - returns[observed].mean()
    spread = float(centered.std())
    bounds = [coordinate.bounds for coordinate in COORDINATES]

    def cost(point: NDArray[np.float64]) -> float:
        return penalized_cost(_parameters(point), centered)

    fits = [
        minimize(cost, np.clip(_start(spread, *start), *np.transpose(bounds)), method="L-BFGS-B", bounds=bounds)
        for start in product((2.0, 15.0), (-1.0, 1.0))
    ]
    point = min(fits, key=lambda fit: fit.fun).x
    estimates = {
        one.name: one.estimate(float(x), float(error))
        for one, x, error in zip(COORDINATES, point, _errors(cost, point), strict=True)
    }
    warnings = [warning for one in COORDINATES if (warning := one.warning(estimates[one.name]))]
    if warning := _no_jumps(_parameters(point), centered):
        warnings.insert(0, warning)
        estimates = {
            name: one if name == "volatility" else one.model_copy(update={"identified": False})
            for name, one in estimates.items()
        }
    found = dict(zip(MOMENTS, moments(returns[:, None], observed)[:, 0].tolist(), strict=True))
    return Calibration(
        dynamics="merton",
        estimates=estimates,
        days=len(centered),
        data=fingerprint_of(returns),
        moments={name: Moment(data=found[name], fitted=it) for name, it in _cumulants(_parameters(point)).items()},
        warnings=tuple(warnings),
    )


def log_likelihood(parameters: tuple[float, float, float, float], centered: NDArray[np.float64]) -> float:
    """Sum of the log densities; parameters are volatility, intensity, mean and standard deviation of the jumps."""
    volatility, intensity, jump_mean, jump_sd = parameters
    expected = intensity / TRADING_DAYS
    n = np.arange(MOST_JUMPS + 1)
    log_weight = n * math.log(expected) - expected - gammaln(n + 1)
    variance = volatility**2 / TRADING_DAYS + n * jump_sd**2
    off = centered[:, None] - (n - expected) * jump_mean
    log_density = -0.5 * (np.log(2 * math.pi * variance) + off * off / variance)
    return float(np.sum(logsumexp(log_weight + log_density, axis=1)))


def penalized_cost(parameters: tuple[float, float, float, float], centered: NDArray[np.float64]) -> float:
    """Minus the log likelihood, plus what small jumps pay."""
    size = (PENALTY_SIZE * float(centered.std()) / parameters[3]) ** 2
    return (size - math.log(size) - 1) / 2 - log_likelihood(parameters, centered)


def _parameters(point: NDArray[np.float64]) -> tuple[float, float, float, float]:
    volatility, intensity, mean, sd = (one.scale.backward(float(x)) for one, x in zip(COORDINATES, point, strict=True))
    return volatility, intensity, mean, sd


def _start(spread: float, intensity: float, side: float) -> NDArray[np.float64]:
    volatility = 0.8 * spread * math.sqrt(TRADING_DAYS)
    start = (volatility, intensity, side * spread, max(PENALTY_SIZE * spread, 0.006))
    return np.array([one.scale.forward(value) for one, value in zip(COORDINATES, start, strict=True)])


def _errors(cost: Callable[[NDArray[np.float64]], float], point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard errors on the scales, from the inverse Hessian by central differences.

    A parameter on its bound is held there for the others. Its own error is the distance inward at which the cost, a
    parabola with a slope at the bound, has risen by Z95^2 / 2, over Z95.
    """
    size, step = len(point), STEP * np.eye(len(point))
    hessian = np.empty((size, size))
    for i, j in product(range(size), repeat=2):
        ahead, behind = step[i] + step[j], step[i] - step[j]
        hessian[i, j] = cost(point + ahead) - cost(point + behind) - cost(point - behind) + cost(point - ahead)
    hessian /= 4 * STEP**2
    bound = np.array([one.sits_on_bound(float(x)) for one, x in zip(COORDINATES, point, strict=True)])
    free = ~bound
    values, axes = np.linalg.eigh(hessian[np.ix_(free, free)])
    inverse = (axes / np.maximum(values, FLAT)) @ axes.T  # no rise: as good as no bound on the error
    errors = np.empty(size)
    errors[free] = np.sqrt(np.diag(inverse))
    for place in np.flatnonzero(bound):
        slope = abs(cost(point + step[place]) - cost(point - step[place])) / (2 * STEP)
        cross = hessian[place, free]
        curvature = max(hessian[place, place] - cross @ inverse @ cross, FLAT)
        errors[place] = Z95 / (math.hypot(slope, math.sqrt(curvature) * Z95) + slope)
    return errors


def _no_jumps(parameters: tuple[float, float, float, float], centered: NDArray[np.float64]) -> str | None:
    """One sentence if a normal law does as well, or jumps are fewer than tell their law."""
    expected = parameters[1] * len(centered) / TRADING_DAYS
    variance = float(centered.var())
    normal = -0.5 * len(centered) * (math.log(2 * math.pi * variance) + 1)
    gain = 2 * (log_likelihood(parameters, centered) - normal)
    if gain < chi2.ppf(0.95, 3):
        return f"jumps are not identified: a normal law fits as well, the likelihood ratio is {gain:.1f}; take gbm"
    if expected < FEWEST_JUMPS:
        return (
            f"jumps are not identified: {expected:.1f} of them are too few to tell their law; set intensity, jump_mean "
            "and jump_sd by judgment"
        )
    return None


def _cumulants(parameters: tuple[float, float, float, float]) -> dict[str, float]:
    """Moments of a day's return: jumps add intensity E J^k to the cumulant k."""
    volatility, intensity, m, s = parameters
    often = intensity / TRADING_DAYS
    variance = volatility**2 / TRADING_DAYS + often * (m**2 + s**2)
    third = often * (m**3 + 3 * m * s**2)
    fourth = often * (m**4 + 6 * m**2 * s**2 + 3 * s**4)
    return {
        "log_variance": math.log(variance * TRADING_DAYS),
        "log_kurtosis": math.log(3 + fourth / variance**2),
        "skew": third / variance**1.5,
    }
