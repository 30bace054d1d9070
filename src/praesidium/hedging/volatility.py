"""Volatility behind the Greeks that a policy sees: always from past prices alone."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from praesidium.component import Component
from praesidium.markets.market import TRADING_DAYS
from praesidium.markets.paths import Paths
from praesidium.markets.trailing import log_returns, realized_volatility

Parameters = dict[str, float]


class GreekVolatility(Component):
    """How a hedger turns a price history into the volatility of its Greeks."""

    @abstractmethod
    def calibrate(self, training: Sequence[Paths]) -> Parameters:
        """Parameters from the training paths alone."""

    @abstractmethod
    def estimate(self, paths: Paths, parameters: Parameters) -> Float[Tensor, "steps paths"]:
        """Annualized volatility at times 0..horizon-1; the value at t uses prices up to t only."""


class Constant(GreekVolatility, kind="constant"):
    """The root mean square volatility of the training paths, everywhere and always."""

    def calibrate(self, training: Sequence[Paths]) -> Parameters:
        return {"volatility": math.sqrt(_mean_variance(training))}

    def estimate(self, paths: Paths, parameters: Parameters) -> Float[Tensor, "steps paths"]:
        return torch.full_like(paths.episode[:-1], parameters["volatility"])


class Quoted(GreekVolatility, kind="quoted"):
    """The volatility at which the market marks the option: what a desk with quotes on its screen uses."""

    def calibrate(self, training: Sequence[Paths]) -> Parameters:
        return {}

    def estimate(self, paths: Paths, parameters: Parameters) -> Float[Tensor, "steps paths"]:
        return paths.implied[:-1]


class Trailing(GreekVolatility, kind="trailing"):
    """Realized volatility of the last ``window`` returns, zero mean.

    Attributes:
        window: returns looked at; at most the history that the paths carry.
        floor: smallest volatility, so that Greeks stay finite in a dead market.
    """

    window: int = Field(default=20, ge=2)
    floor: float = Field(default=0.02, gt=0)

    def calibrate(self, training: Sequence[Paths]) -> Parameters:
        return {}

    def estimate(self, paths: Paths, parameters: Parameters) -> Float[Tensor, "steps paths"]:
        return realized_volatility(paths, self.window).clamp(min=self.floor)


class Forecast(GreekVolatility, kind="forecast"):
    """Mean-reverting forecast to maturity of an exponentially weighted variance: a stand-in for implied volatility.

    v_t = decay v_{t-1} + (1 - decay) r_t^2, and the mean variance of the days left,
    theta + (v_t - theta) (1 - exp(-kappa tau)) / (kappa tau), with theta and kappa from the training paths.

    Attributes:
        decay: weight of the past a day (RiskMetrics 1996: 0.94).
        multiplier: implied over forecast volatility; 1 hedges with the forecast itself.
        bounds: smallest and largest volatility.
    """

    decay: float = Field(default=0.94, gt=0, lt=1)
    multiplier: float = Field(default=1.0, gt=0)
    bounds: tuple[float, float] = (0.04, 1.2)

    def calibrate(self, training: Sequence[Paths]) -> Parameters:
        lag = min(TRADING_DAYS // 12, *(paths.horizon for paths in training))
        theta = _mean_variance(training)
        # Distances of the volatility, not of the variance: fourth moments of returns are too wild to average.
        distances = [self._variance(paths).double().sqrt() - math.sqrt(theta) for paths in training]
        before = torch.cat([one[:-lag].flatten() for one in distances])
        after = torch.cat([one[lag:].flatten() for one in distances])
        # What keeps a share s of its distance to the mean over a lag h reverts at speed -log(s) / h.
        share = float((before * after).mean() / before.square().mean())
        kappa = -math.log(min(max(share, 1e-9), 1 - 1e-9)) / (lag * training[0].dt)
        return {"theta": theta, "kappa": min(max(kappa, 0.5), 15.0)}

    def estimate(self, paths: Paths, parameters: Parameters) -> Float[Tensor, "steps paths"]:
        now = self._variance(paths)[:-1]
        days_left = torch.arange(paths.horizon, 0, -1, dtype=now.dtype, device=now.device).unsqueeze(-1)
        reversion = parameters["kappa"] * paths.dt * days_left
        keep = -torch.expm1(-reversion) / reversion
        mean = parameters["theta"] + (now - parameters["theta"]) * keep
        return (self.multiplier * mean.sqrt()).clamp(*self.bounds)

    def _variance(self, paths: Paths) -> Float[Tensor, "rebalances paths"]:
        """Weighted variance a year at times 0..horizon, started from the mean square of the history."""
        squares = log_returns(paths).square() / paths.dt
        history, rest = squares[: paths.lookback], squares[paths.lookback :]
        weights = self.decay ** torch.arange(paths.lookback - 1, -1, -1, dtype=squares.dtype, device=squares.device)
        level = (weights.unsqueeze(-1) * history).sum(0) / weights.sum()
        levels = [level]
        for square in rest:
            level = self.decay * level + (1 - self.decay) * square
            levels.append(level)
        return torch.stack(levels)


def _mean_variance(training: Sequence[Paths]) -> float:
    return sum(log_returns(paths).double().square().mean().item() / paths.dt for paths in training) / len(training)
