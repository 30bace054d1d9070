"""Heston and Bates by the simulated method of moments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import least_squares

from praesidium.markets.calibration.coordinates import ATANH, LOG, TWENTIETHS, Coordinate
from praesidium.markets.calibration.estimate import Calibration, Moment, check_returns, fingerprint_of
from praesidium.markets.calibration.moments import MOMENTS, heston_from_moments, moments
from praesidium.markets.calibration.simulation import Simulation
from praesidium.markets.market import TRADING_DAYS

HESTON = (
    Coordinate("theta", 1e-4, 4.0, LOG),
    Coordinate("kappa", 0.5, 15.0, LOG),
    Coordinate("xi", 0.1, 2.0, LOG),
    Coordinate("rho", -0.95, 0.0, ATANH),
)
JUMPS = (
    Coordinate("intensity", 0.1, 20.0, LOG),
    Coordinate("jump_mean", -0.2, 0.1, TWENTIETHS),
    Coordinate("jump_sd", 0.005, 0.2, LOG),
)
THETA, XI = 0, 2

STEP = 0.05  # of finite differences: wide enough to step over the roughness that P(|r| > 3 s) leaves
SINGULAR = 1e-3  # smallest by largest singular value, below which moments do not tell parameters apart
FLOOR = 1e-6
MISFIT = 3.0  # standard deviations

# Speed and relative volatility of the variance; jumps a year, their mean and spread in daily standard deviations.
SEARCHED = ((1.0, 1.2), (3.0, 2.0), (8.0, 4.0))
SEARCHED_JUMPS = ((2.0, -2.0, 3.0), (12.0, -0.5, 2.0))


def fit_by_simulated_moments(
    returns: NDArray[np.float64], *, dynamics: Literal["heston", "bates"], generator: torch.Generator
) -> Calibration:
    """Parameters at which simulated series have the moments of the data.

    Simulated series are as long as the data, with the same gaps, so that moments biased in short samples are biased
    alike on both sides. Each moment weighs by its standard deviation over simulated series: a full weighting matrix is
    no more precise, and one that is bootstrapped from the data pulls theta down, being small where the moments are.

    The covariance of the moments is that of the simulated series. As it depends on the persistence of the variance,
    which itself is uncertain, it is averaged over the estimates' own law by the third-degree spherical rule: without
    that, intervals are short exactly where kappa came out high.

    Args:
        returns: daily log returns; NaN on days left out.
        dynamics: ``heston``, or ``bates``, which has jumps as well.
        generator: the only source of randomness.

    Raises:
        InputError: if the returns cannot be used.

    Source: Duffie and Singleton 1993; the rule: Arasaratnam and Haykin 2009.
    """
    observed = check_returns(returns)
    data = moments(returns[:, None], observed)[:, 0]
    problem = _Problem(HESTON + JUMPS * (dynamics == "bates"), data, Simulation(observed, math.exp(data[0]), generator))
    starts = problem.starts(heston_from_moments(returns, observed))
    problem.weigh(starts[0])
    point = problem.solve(min(starts, key=problem.distance))
    covariance, mixed = problem.covariance(point)

    simulated = problem.series(point)
    fitted, error = simulated.mean(1), simulated.std(1, ddof=1)
    estimates, warnings = {}, []
    for place, coordinate in enumerate(problem.coordinates):
        estimate = coordinate.estimate(float(point[place]), math.sqrt(covariance[place, place]))
        if place in mixed:
            estimate = estimate.model_copy(update={"identified": False})
            warnings.append(f"{coordinate.name} is not identified: the moments hardly tell it from other parameters")
        elif warning := coordinate.warning(estimate):
            warnings.append(warning)
        estimates[coordinate.name] = estimate
    for name, there, here, spread in zip(MOMENTS, data, fitted, error, strict=True):
        if abs(there - here) > MISFIT * spread:
            away = f"{there:.3g} in the data, {here:.3g} +- {spread:.2g} fitted"
            warnings.append(f"{dynamics} does not have the {name} of the data: {away}")
    return Calibration(
        dynamics=dynamics,
        estimates=estimates,
        days=int(observed.sum()),
        data=fingerprint_of(returns),
        moments={
            name: Moment(data=float(there), fitted=float(here), error=float(spread))
            for name, there, here, spread in zip(MOMENTS, data, fitted, error, strict=True)
        },
        warnings=tuple(warnings),
    )


class _Problem:
    """Moments as a function of the point whose entries are the parameters on their scales."""

    def __init__(self, coordinates: tuple[Coordinate, ...], data: NDArray[np.float64], simulation: Simulation) -> None:
        self.coordinates, self.data, self.simulation = coordinates, data, simulation
        self.low, self.high = np.array([coordinate.bounds for coordinate in coordinates]).T
        self.weights = np.ones(len(data))

    def series(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """(moments, series) at a point."""
        return self.simulation(
            {one.name: one.scale.backward(float(x)) for one, x in zip(self.coordinates, point, strict=True)}
        )

    def starts(self, rough: Mapping[str, float]) -> list[NDArray[np.float64]]:
        """Where a search may begin; the first is the rough one."""
        variance = rough["theta"]
        day = math.sqrt(variance / TRADING_DAYS)
        grid = [rough] + [{**rough, "kappa": kappa, "xi": ratio * math.sqrt(variance)} for kappa, ratio in SEARCHED]
        if len(self.coordinates) > len(HESTON):
            jumps = [
                {"intensity": often, "jump_mean": mean * day, "jump_sd": max(sd * day, 0.006)}
                for often, mean, sd in SEARCHED_JUMPS
            ]
            grid = [{**base, **jump, "theta": 0.9 * variance} for base, jump in product(grid, jumps)]
        points = [[one.scale.forward(start[one.name]) for one in self.coordinates] for start in grid]
        inside = 1e-6 * (self.high - self.low)
        return [np.clip(point, self.low + inside, self.high - inside) for point in points]

    def weigh(self, point: NDArray[np.float64]) -> None:
        """Weights from the spread of the moments at a point; one that never moves has none."""
        spread = self.series(point).std(1, ddof=1)
        self.weights = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)

    def residuals(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.weights * (self.series(point).mean(1) - self.data)

    def distance(self, point: NDArray[np.float64]) -> float:
        return float(np.square(self.residuals(point)).sum())

    def jacobian(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weighted moments by the point, from one-sided differences."""
        here, columns = self.residuals(point), []
        for place in range(len(point)):
            step = STEP if point[place] + STEP <= self.high[place] else -STEP
            moved = point.copy()
            moved[place] += step
            if place == THETA:
                moved[XI] += step / 2  # keeps xi / sqrt(theta), for which there are paths
            columns.append((self.residuals(moved) - here) / step)
        columns[THETA] = columns[THETA] - columns[XI] / 2
        return np.stack(columns, axis=1)

    def solve(self, start: NDArray[np.float64]) -> NDArray[np.float64]:
        """The nearest least of the distance, from a start."""
        found = least_squares(
            self.residuals,
            start,
            self.jacobian,  # pyright: ignore[reportArgumentType]  (scipy's hints know names of methods alone)
            (self.low, self.high),
            xtol=3e-3,
            ftol=1e-3,
            max_nfev=20,
        )
        return found.x

    def covariance(self, point: NDArray[np.float64]) -> tuple[NDArray[np.float64], set[int]]:
        """Sandwich times 1 + 1 / series, averaged over where the point may be; and the places that are mixed up."""
        left, values, right = np.linalg.svd(self.jacobian(point), full_matrices=False)
        mixed = {int(place) for row in right[values < SINGULAR * values[0]] for place in np.flatnonzero(abs(row) > 0.3)}
        estimator = (right.T / np.maximum(values, FLOOR * values[0])) @ left.T * self.weights

        def sandwich(at: NDArray[np.float64]) -> NDArray[np.float64]:
            return estimator @ np.cov(self.series(at)) @ estimator.T * (1 + 1 / self.simulation.series)

        others = np.arange(len(point)) != THETA  # the scale changes no error on a logarithmic scale
        variances, axes = np.linalg.eigh(sandwich(point)[np.ix_(others, others)])
        total = np.zeros((len(point), len(point)))
        for variance, axis in zip(variances, axes.T, strict=True):
            for side in (-1, 1):
                at = point.copy()
                at[others] += side * math.sqrt(len(variances) * max(variance, 0.0)) * axis
                total += sandwich(np.clip(at, self.low, self.high))
        return total / (2 * len(variances)), mixed
