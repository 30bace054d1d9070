"""Rough Bergomi: the logarithm of the variance is driven by a process rougher than Brownian motion."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveFloat
from scipy.linalg import toeplitz
from scipy.special import roots_jacobi, roots_legendre
from torch import Tensor

from praesidium.component import InputError, remember
from praesidium.markets.market import Marked, Market

CELLS = 2**18  # paths times periods in one block: what is worked on at a time stays in the cache
LOOKS = 16  # future times that one mark looks at, at most
ORDER = 20  # of the quadrature over a period: exact to double precision


class _Looks(NamedTuple):
    """A mean over the periods left: how many periods ahead it looks, and the weight of each look."""

    ahead: Int[Tensor, " looks"]
    weights: Float[Tensor, " looks"]


class RoughBergomi(Market, kind="rough_bergomi"):
    """dS = S sqrt(V) (rho dW + sqrt(1 - rho^2) dW'),  V_t = xi exp(eta X_t - eta^2 t^{2H} / 2).

    X_t = sqrt(2H) int_0^t (t - s)^{H - 1/2} dW_s, time in years. W and X are drawn from their exact joint law at the
    simulated times, so that E[V_t] = xi and Var[X_t] = t^{2H} whatever the step. The spot alone is discretized: the
    variance of a period is that at its beginning.

    Attributes:
        xi: forward variance at the beginning of a path, a year, the same for all times.
        hurst: H; V is an exponential of Brownian motion at 1/2 and rougher below.
        eta: standard deviation of the logarithm of V after a year.
        rho: correlation of spot and variance; above 0 the spot in continuous time would be no martingale.

    Source: Bayer, Friz and Gatheral 2016, "Pricing under rough volatility"; the bound of rho: Gassiat 2019, "On the
    martingale property in the rough Bergomi model".
    """

    xi: PositiveFloat = 0.04
    hurst: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    eta: NonNegativeFloat = 1.9
    rho: Annotated[float, Field(ge=-1, le=0)] = -0.9

    def sample(
        self, *, paths: int, steps: int, dt: float, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "times paths"], Float[Tensor, "times paths"]]:
        """Three normals a path and period. Each period moves all later variances: costs go with the square of steps."""
        spot, variance, _ = self._simulate([], paths, steps, dt, generator, dtype)
        return spot, variance

    def sample_marked(
        self,
        *,
        paths: int,
        steps: int,
        left: Float[Tensor, "curves rebalances"],
        dt: float,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> Marked:
        """The same spot as :meth:`sample`, marked by the forward variance, which the whole past of a path moves.

        A mark at time t is the mean of E_t[V_s] over the beginnings s of the periods left; the last of them may be a
        part of one, and with nothing left it is V_t. E_t[V_s] is exact given W and X at the simulated times. Of more
        than LOOKS periods the mean interpolates, at some 1e-4 of the volatility.
        """
        days = (left.double() / dt).T.tolist()
        spot, _, expected = self._simulate(days, paths, steps, dt, generator, dtype)
        return Marked(spot, expected)

    def expected_variance(
        self, variance: Float[Tensor, "*shape"], years: Float[Tensor, "*broadcast"] | float
    ) -> Float[Tensor, "*shape"]:
        """xi over any time, from the beginning of a path, where the variance is xi.

        Raises:
            InputError: if the variance has moved: it does not tell the past that its future depends on.
        """
        if not torch.allclose(variance, variance.new_tensor(self.xi), rtol=1e-5, atol=0):
            raise InputError(
                f"variance: it has moved from xi={self.xi:g}, and what follows depends on how it came there; "
                "let simulate mark the paths, with rough_bergomi as the outermost market"
            )
        return torch.full_like(variance, self.xi)

    def _simulate(
        self,
        days: list[list[float]],
        paths: int,
        steps: int,
        dt: float,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> tuple[Float[Tensor, "times paths"], Float[Tensor, "times paths"], Float[Tensor, "curves rebalances paths"]]:
        """Spot, variance, and the marks of the last days: ``days`` has the periods left, a list for each of them.

        On a CPU in blocks that stay in the cache, by operations that torch never rounds differently when it splits
        them over threads; products of matrices it does.
        """
        spot = torch.empty(steps + 1, paths, dtype=dtype, device=generator.device)
        variance = torch.empty_like(spot)
        expected = spot.new_empty(len(days[0]) if days else 0, len(days), paths)

        first = steps + 1 - len(days)
        means = [[_mean(round(periods, 4)) for periods in day] for day in days]
        last = max([steps, *(now + int(ahead[-1]) for now, day in enumerate(means, first) for ahead, _ in day)])
        loadings = self.eta * dt**self.hurst * _volterra(self.hurst, last)
        looks = [[self._looks(now, mean, loadings, spot) for mean in day] for now, day in enumerate(means, first)]
        columns = _columns(loadings[:, :, :steps].to(spot))

        blocks = math.ceil(paths * steps / CELLS) if spot.device.type == "cpu" else 1
        splits = [rows.tensor_split(blocks, -1) for rows in (spot, variance, expected)]
        for spots, variances, marks in zip(*splits, strict=True):
            self._fill(spots, variances, marks, last + 1, columns, looks, dt, generator)
        return spot, variance, expected

    def _looks(
        self, now: int, mean: _Looks, loadings: Float[Tensor, "2 times periods"], like: Float[Tensor, "*any"]
    ) -> _Looks:
        """Weights with which the mean of E_t[V_s] is a sum of e^{eta E_t[X_s]}."""
        ahead, share = mean
        learned = loadings[:, now + ahead, :now].square().sum((0, 2))  # variance of eta E_t[X_s]
        return _Looks(ahead.to(like.device), (self.xi * share * (-0.5 * learned).exp()).to(like))

    def _fill(
        self,
        spot: Float[Tensor, "times block"],
        variance: Float[Tensor, "times block"],
        expected: Float[Tensor, "curves rebalances block"],
        ends: int,
        columns: list[tuple[Tensor, Tensor]],
        looks: list[list[_Looks]],
        dt: float,
        generator: torch.Generator,
    ) -> None:
        """Carry eta E_t[X_s] of all s through the days t; marks look ahead in it, and V is where t has come to s."""
        steps, paths = len(columns), spot.shape[1]
        normals = spot.new_empty(steps, 3, paths).normal_(generator=generator)
        driver, inner, other = normals.unbind(1)
        level, first = spot.new_zeros(ends, paths), len(spot) - len(looks)
        moves = zip(columns, driver.unbind(), inner.unbind(), strict=True)
        for now in range(steps + 1):
            if now:
                (by_driver, by_inner), z, z_inner = next(moves)
                level[now:].addcmul_(by_driver, z).addcmul_(by_inner, z_inner)
            if now >= first:
                for curve, (ahead, weights) in enumerate(looks[now - first]):
                    look = level[now:].index_select(0, ahead).exp_().mul_(weights.unsqueeze(-1))
                    torch.sum(look, 0, out=expected[curve, now - first])

        years = dt * torch.arange(steps + 1, dtype=spot.dtype, device=spot.device).unsqueeze(-1)
        center = 0.5 * math.log(self.xi) - 0.25 * self.eta**2 * years ** (2 * self.hurst)
        volatility = torch.add(center, level[: steps + 1], alpha=0.5, out=level[: steps + 1]).exp_()
        torch.square(volatility, out=variance)

        other.mul_(math.sqrt((1 - self.rho**2) * dt)).add_(driver, alpha=self.rho * math.sqrt(dt))
        gains = other.mul_(volatility[:-1]).sub_(variance[:-1], alpha=0.5 * dt)
        spots = spot.unbind()
        spots[0].zero_()
        for (before, now), gain in zip(pairwise(spots), gains.unbind(), strict=True):
            torch.add(before, gain, out=now)
        spot.exp_()


def _columns(loadings: Float[Tensor, "2 times periods"]) -> list[tuple[Tensor, Tensor]]:
    """Loadings of all times from the end of a period on, a pair for each period."""
    driver, inner = loadings
    return [(driver[one + 1 :, one : one + 1], inner[one + 1 :, one : one + 1]) for one in range(loadings.shape[2])]


@lru_cache(1024)
def _mean(periods: float) -> _Looks:
    """The mean over the beginnings of so many periods: linear in log(1 + ahead) between the looks."""
    count = max(1, math.ceil(periods))
    share = np.ones(count)
    share[-1] = periods - count + 1 if periods > 0 else 1.0
    every = np.arange(count)
    ahead = every if count <= LOOKS else np.unique(np.geomspace(1, count, LOOKS).round().astype(int)) - 1
    parts = np.stack([np.interp(np.log1p(every), np.log1p(ahead), look) for look in np.eye(len(ahead))])
    return _Looks(torch.as_tensor(ahead), torch.as_tensor(parts @ share / share.sum()))


@remember(16)
def _volterra(hurst: float, periods: int) -> Float[Tensor, "2 times periods"]:
    """X at times 0, 1, ... in two standard normals of each unit period: W's gain, and what X has beyond it.

    Given W at these times, X is its mean, the kernel averaged over each period, and a rest from the kernel's shape
    inside of them. The rest's covariance adds up over the periods, by how long ago each was.
    """
    alpha = hurst - 0.5
    loadings = np.zeros((2, periods + 1, periods))
    average = np.diff(np.arange(periods + 1.0) ** (alpha + 1)) / (alpha + 1)
    loadings[0, 1:] = math.sqrt(2 * hurst) * toeplitz(average, np.zeros(periods))
    if alpha < -1e-6:  # from there on the rest is lost to rounding
        loadings[1, 1:] = np.linalg.cholesky(2 * hurst * _rest(alpha, average))
    return torch.as_tensor(loadings)


def _rest(alpha: float, average: NDArray[np.float64]) -> NDArray[np.float64]:
    """Covariance of int_0^t ((t - s)^alpha - its average over the period of s) dW_s at times t = 1, 2, ..."""
    ago = np.arange(len(average))[:, np.newaxis]
    points, weights = roots_legendre(ORDER)
    kernel = (ago + (1 + points) / 2) ** alpha
    shape = kernel - kernel @ weights[:, np.newaxis] / 2
    covariance = (shape * weights / 2) @ shape.T
    points, weights = roots_jacobi(ORDER, 0, alpha)  # the kernel of the latest period is infinite at its end
    shape = (ago + (1 + points) / 2) ** alpha - average[:, np.newaxis]
    covariance[0] = covariance[:, 0] = shape @ weights / 2 ** (alpha + 1)
    covariance[0, 0] = (alpha / (alpha + 1)) ** 2 / (2 * alpha + 1)
    for now in range(1, len(average)):
        covariance[now, 1:] += covariance[now - 1, :-1]
    return covariance
