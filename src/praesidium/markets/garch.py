"""GJR-GARCH(1,1) with Student-t residuals: the variance that real prices are filtered with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from arch.univariate import GARCH, StudentsT
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from praesidium.component import InputError
from praesidium.markets.market import TRADING_DAYS

FEWEST_RETURNS = 250
FIRST_DAYS = 20  # a segment's variance starts from the mean square of these
HIGHEST_PERSISTENCE = 0.9995

_PERCENT = 100.0
_GARCH = GARCH(p=1, o=1, q=1)
_STUDENT = StudentsT(seed=0)


@dataclass(frozen=True)
class GJR:
    """r_t = mean + e_t, e_t = sigma_t z_t, sigma^2_{t+1} = omega + (alpha + gamma 1{e_t < 0}) e_t^2 + beta sigma^2_t.

    Daily log returns in decimals: ``omega`` and variances are squared decimals a day. z has unit variance and a
    Student-t law with ``nu`` degrees of freedom.

    Source: Glosten, Jagannathan and Runkle 1993.
    """

    omega: float
    alpha: float
    gamma: float
    beta: float
    nu: float
    mean: float

    @property
    def persistence(self) -> float:
        """alpha + gamma / 2 + beta, the daily factor by which a shock to expected variance decays; symmetric z."""
        return self.alpha + self.gamma / 2 + self.beta

    @property
    def variance(self) -> float:
        """Long-run variance a day, omega / (1 - persistence)."""
        return self.omega / (1 - self.persistence)

    def filter(self, returns: NDArray[np.float64], initial_variance: float) -> NDArray[np.float64]:
        """Variances a day; entry t is that of ``returns[t]`` and looks at ``returns[:t]`` only.

        One longer than ``returns``: the last entry is the forecast for the day after. Entry 0 is
        ``initial_variance``.
        """
        variance = [float(initial_variance)]
        for shock in (returns - self.mean).tolist():
            news = self.alpha + self.gamma if shock < 0 else self.alpha
            variance.append(self.omega + news * shock * shock + self.beta * variance[-1])
        return np.array(variance)

    def standardize(self, segments: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Residuals z = (r - mean) / sigma of all segments, one after the other; each starts as in the fit."""
        residuals = []
        for segment in segments:
            early = float(np.mean((segment[:FIRST_DAYS] - self.mean) ** 2))
            variance = self.filter(segment, self.omega + self.persistence * early)
            residuals.append((segment - self.mean) / np.sqrt(variance[:-1]))
        return np.concatenate(residuals)

    def expected_variance(
        self, variance_next_day: Float[Tensor, "*variances"], days: Float[Tensor, "*days"] | float | int
    ) -> Float[Tensor, "*broadcast"]:
        """Annualized mean of the expected variance over the next ``days`` days.

        252 (v + (s - v) (1 - rho^n) / ((1 - rho) n)) with s the variance of the next day, v the long-run variance,
        rho the persistence and n the days, at least one. Variances and days broadcast.
        """
        left = torch.as_tensor(days, dtype=variance_next_day.dtype, device=variance_next_day.device).clamp(min=1)
        weight = (1 - self.persistence**left) / ((1 - self.persistence) * left)
        return TRADING_DAYS * (self.variance + (variance_next_day - self.variance) * weight)

    def implied(
        self,
        variance_next_day: Float[Tensor, "*variances"],
        days: Float[Tensor, "*days"] | float | int,
        *,
        multiplier: float,
        clip: tuple[float, float],
    ) -> Float[Tensor, "*broadcast"]:
        """Volatility at which an option of ``days`` days is marked: the forecast times a premium, within ``clip``.

        A stand-in where there are no option prices. The true premium shrinks or turns negative inside crashes.
        """
        return (multiplier * self.expected_variance(variance_next_day, days).sqrt()).clamp(*clip)


def fit_gjr(segments: Sequence[NDArray[np.float64]]) -> GJR:
    """Maximum likelihood over separate stretches of daily log returns that share their parameters.

    Mean and long-run variance are the pooled sample's (variance targeting: three segments of a few hundred days say
    little about omega). Each segment starts from the mean square of its own first 20 days, so no variance leaks
    across a gap.

    Raises:
        InputError: if there are fewer than 250 returns, they do not move, or the fit does not converge.
    """
    pooled = (
        np.concatenate([np.asarray(segment, dtype=np.float64) for segment in segments]) if segments else np.empty(0)
    )
    if len(pooled) < FEWEST_RETURNS:
        raise InputError(f"fit_gjr: {len(pooled)} returns, but a fit needs {FEWEST_RETURNS}; give a longer history")
    if not np.isfinite(pooled).all() or np.ptp(pooled) == 0:
        raise InputError("fit_gjr: the returns are constant or not finite; check the prices they come from")
    mean, target = float(pooled.mean()), float(pooled.var())
    terms = [_Segment(segment, mean) for segment in segments if len(segment)]

    def model(point: NDArray[np.float64]) -> GJR:
        alpha, gamma, beta, nu = map(float, point)
        return GJR(target * (1 - alpha - gamma / 2 - beta), alpha, gamma, beta, nu, mean)

    def cost(point: NDArray[np.float64]) -> float:
        candidate = model(point)
        return -sum(term.log_likelihood(candidate) for term in terms) / len(pooled)

    grid = [
        np.array([alpha, gamma, persistence - alpha - gamma / 2, 6.0])
        for alpha in (0.01, 0.06)
        for gamma in (0.03, 0.2)
        for persistence in (0.9, 0.96, 0.985)
    ]
    constraints = (
        {"type": "ineq", "fun": lambda point: HIGHEST_PERSISTENCE - point[0] - point[1] / 2 - point[2]},
        {"type": "ineq", "fun": lambda point: point[0] + point[1]},
    )
    bounds = ((0, 1), (-0.5, 2), (0, 1), (2.1, 200))
    fits = [
        minimize(cost, start, method="SLSQP", bounds=bounds, constraints=constraints, options={"ftol": 1e-9})
        for start in sorted(grid, key=cost)[:3]
    ]
    best = min((fit for fit in fits if fit.success), key=lambda fit: fit.fun, default=None)
    if best is None:
        raise InputError(f"fit_gjr: no convergence on {len(pooled)} returns ({fits[0].message}); give a longer history")
    return model(best.x)


def log_likelihood(gjr: GJR, segments: Sequence[NDArray[np.float64]]) -> float:
    """Sum over segments of the log density of their returns in percent, the scale on which arch reports it."""
    return sum(_Segment(segment, gjr.mean).log_likelihood(gjr) for segment in segments)


class _Segment:
    """What the likelihood of one stretch of returns needs, computed once; percent, where arch's bounds work well."""

    def __init__(self, returns: NDArray[np.float64], mean: float) -> None:
        self.shocks = (np.asarray(returns, dtype=np.float64) - mean) * _PERCENT
        self.early = float(np.mean(self.shocks[:FIRST_DAYS] ** 2))
        self.bounds = _GARCH.variance_bounds(self.shocks)

    def log_likelihood(self, gjr: GJR) -> float:
        parameters = np.array([gjr.omega * _PERCENT**2, gjr.alpha, gjr.gamma, gjr.beta])
        variance = np.empty_like(self.shocks)
        _GARCH.compute_variance(parameters, self.shocks, variance, self.early, self.bounds)
        return float(np.sum(_STUDENT.loglikelihood([gjr.nu], self.shocks, variance, individual=True)))
