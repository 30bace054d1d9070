"""Moments of simulated series that are as long as the data and have the same gaps."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from praesidium.component import remember
from praesidium.markets.calibration.moments import moments
from praesidium.markets.heston import Heston
from praesidium.markets.market import TRADING_DAYS

FEWEST_SERIES = 50
FEWEST_DAYS = 150_000  # of all series together: what short data save goes into more series
BURN_IN = 252
KEPT = 32  # sets of paths

_DT = 1 / TRADING_DAYS


class Simulation:
    """Moments by parameters, from the same random numbers at every call.

    Heston's returns for (theta, kappa, xi, rho) are sqrt(c) times those for (theta / c, kappa, xi / sqrt(c), rho), up
    to their drift, which is nothing in a day. So theta moves without new paths, and jumps are laid over those there.

    Attributes:
        series: number of them.
    """

    def __init__(self, observed: NDArray[np.bool_], variance: float, generator: torch.Generator) -> None:
        """Series on the calendar of ``observed``; ``variance`` a year is about that of the data."""
        self.series = max(FEWEST_SERIES, math.ceil(FEWEST_DAYS / len(observed)))
        self._observed, self._variance = observed, variance
        self._seed = int(torch.randint(2**62, (), generator=generator))
        shape = (len(observed), self.series)
        self._share = torch.rand(shape, generator=generator, dtype=torch.float64).numpy()
        self._normal = torch.randn(shape, generator=generator, dtype=torch.float64).numpy()
        self._diffusion = remember(KEPT)(self._diffuse)
        self._remembered = remember(KEPT)(self._moments)

    def __call__(self, parameters: Mapping[str, float]) -> NDArray[np.float64]:
        """(moments, series) of Heston; of Bates, if there is an ``intensity`` among the parameters."""
        return self._remembered(dict(parameters))

    def _moments(self, parameters: dict[str, float]) -> NDArray[np.float64]:
        theta, xi = parameters["theta"], parameters["xi"]
        leverage = round(xi / math.sqrt(theta), 12)  # equal up to rounding is equal
        returns = self._diffusion(parameters["kappa"], leverage, parameters["rho"]) * math.sqrt(theta / self._variance)
        if "intensity" in parameters:
            returns += self._jump(parameters["intensity"], parameters["jump_mean"], parameters["jump_sd"])
        return moments(returns, self._observed)

    def _diffuse(self, kappa: float, relative_xi: float, rho: float) -> NDArray[np.float64]:
        """Daily log returns at the variance of the data, after a year that starts with the long-run mean and spread."""
        theta = self._variance
        xi = relative_xi * math.sqrt(theta)
        half = min(math.sqrt(1.5 * theta * xi**2 / kappa), 0.999 * theta)  # a uniform law's, for that spread
        market = Heston(theta=theta, kappa=kappa, xi=xi, rho=rho, v0=(theta - half, theta + half))
        spot, _ = market.sample(
            paths=self.series,
            steps=BURN_IN + len(self._observed),
            dt=_DT,
            generator=torch.Generator().manual_seed(self._seed),
            dtype=torch.float64,
        )
        return np.diff(np.log(spot[BURN_IN:].numpy()), axis=0)

    def _jump(self, intensity: float, jump_mean: float, jump_sd: float) -> NDArray[np.float64]:
        """Compound Poisson jumps of a day, the count by inversion: a little more intensity adds a few jumps."""
        expected = intensity * _DT
        below = chance = math.exp(-expected)
        jumps = np.zeros_like(self._share)
        some = np.nonzero(self._share > below)
        share, count = self._share[some], np.ones(len(some[0]))
        while (share > below).any() and chance > 1e-12:
            chance *= expected / count.max()
            below += chance
            count += share > below
        jumps[some] = count * jump_mean + np.sqrt(count) * jump_sd * self._normal[some]
        return jumps
