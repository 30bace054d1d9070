"""What is said of a strategy: growth, risk and turnover of one track of daily returns, or of many at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Float
from skfolio import measures

from praesidium.component import InputError

YEAR = 252
"""Trading days a year."""

_NONE = 1e-12
"""A daily deviation or a drawdown below this is rounding."""


class Track:
    """Daily net returns and turnover of a strategy, and its figures; a second axis holds more tracks of equal length.

    Every figure is an array of the shape of the batch. Ratios are NaN where they would divide by nothing: no
    volatility, no losses, no drawdown.

    Args:
        returns: simple returns, net of costs.
        turnover: money bought and sold that day over wealth.
    """

    def __init__(self, returns: Float[np.ndarray, "days *batch"], turnover: Float[np.ndarray, "days *batch"]) -> None:
        if returns.shape != turnover.shape or not len(returns):
            raise InputError(
                f"Track: returns {returns.shape} and turnover {turnover.shape} need one value for each day, and a day"
            )
        if not ((returns > -1) & np.isfinite(returns)).all():
            raise InputError(
                "Track: a return is missing, infinite, or at -100 % or below, after which there is nothing to measure"
            )
        if not np.isfinite(turnover).all():
            raise InputError("Track: a turnover is missing or infinite; say 0 for a day without trades")
        self.returns = returns
        self.daily_turnover = turnover

    @cached_property
    def _wealth(self) -> Float[np.ndarray, "times *batch"]:
        """Wealth before the first day, 1, and after each."""
        wealth = np.ones((len(self.returns) + 1, *self.returns.shape[1:]))
        np.cumprod(1 + self.returns, axis=0, out=wealth[1:])
        return wealth

    @cached_property
    def cagr(self) -> np.ndarray:
        """Growth a year, compound: wealth^(252 / days) - 1."""
        return np.asarray(self._wealth[-1] ** (YEAR / len(self.returns)) - 1)

    @cached_property
    def _mean(self) -> np.ndarray:
        return np.asarray(measures.mean(self.returns))

    @cached_property
    def volatility(self) -> np.ndarray:
        """Standard deviation of daily returns (n - 1 in the denominator) times sqrt(252)."""
        return np.asarray(measures.standard_deviation(self.returns) * YEAR**0.5)

    @cached_property
    def sharpe(self) -> np.ndarray:
        """Mean over standard deviation of daily returns, times sqrt(252); cash is taken to earn nothing."""
        return _ratio(YEAR * self._mean, self.volatility)

    @cached_property
    def sortino(self) -> np.ndarray:
        """Mean over root mean square of the losing part of daily returns, times sqrt(252).

        Source: Sortino and van der Meer 1991, with target 0.
        """
        downside = measures.semi_deviation(self.returns, min_acceptable_return=0.0, biased=True)
        return _ratio(YEAR * self._mean, downside * YEAR**0.5)

    @cached_property
    def max_drawdown(self) -> np.ndarray:
        """Largest fall of wealth from a peak, the start included, over that peak: a loss, positive = bad."""
        return np.asarray(1 - (self._wealth / np.maximum.accumulate(self._wealth, axis=0)).min(axis=0))

    @cached_property
    def calmar(self) -> np.ndarray:
        """Growth a year over the largest drawdown."""
        return _ratio(self.cagr, self.max_drawdown)

    def cvar(self, *, level: float) -> np.ndarray:
        """Mean loss of the worst ``1 - level`` share of days, positive = bad.

        Raises:
            InputError: if ``level`` is not a fraction.
        """
        if not 0 < level < 1:
            raise InputError(f"cvar: level={level:g} is not a fraction in (0, 1); for the worst 5 % say level=0.95")
        return np.asarray(measures.cvar(self.returns, beta=level))

    @cached_property
    def worst_year(self) -> np.ndarray:
        """Lowest compound return over 252 days in a row; NaN for a shorter track."""
        if len(self.returns) < YEAR:
            return np.full(self.returns.shape[1:], np.nan)
        return np.asarray((self._wealth[YEAR:] / self._wealth[:-YEAR]).min(axis=0) - 1)

    @cached_property
    def turnover(self) -> np.ndarray:
        """Money bought and sold a year over wealth: one way in and out of the market counts 2."""
        return np.asarray(YEAR * measures.mean(self.daily_turnover))


def _ratio(numerator: float | np.ndarray, denominator: float | np.ndarray) -> np.ndarray:
    some = np.asarray(denominator > _NONE)
    return np.divide(numerator, denominator, out=np.full(some.shape, np.nan), where=some)


@dataclass(frozen=True)
class Metric:
    """One column of a table.

    Attributes:
        name: what tables call it.
        of: its value for each track.
        higher_is_better: which of two values is preferred.
    """

    name: str
    of: Callable[[Track], np.ndarray]
    higher_is_better: bool


METRICS = {
    metric.name: metric
    for metric in (
        Metric("cagr", lambda track: track.cagr, True),
        Metric("volatility", lambda track: track.volatility, False),
        Metric("sharpe", lambda track: track.sharpe, True),
        Metric("sortino", lambda track: track.sortino, True),
        Metric("max_drawdown", lambda track: track.max_drawdown, False),
        Metric("calmar", lambda track: track.calmar, True),
        Metric("cvar_95", lambda track: track.cvar(level=0.95), False),
        Metric("worst_year", lambda track: track.worst_year, True),
        Metric("turnover", lambda track: track.turnover, False),
    )
}
"""The metrics of every table of strategies, by name, in the order of the columns."""


def summary(track: Track) -> dict[str, float]:
    """Every metric of one track, by name."""
    return {name: float(metric.of(track)) for name, metric in METRICS.items()}


def window_returns(returns: pd.Series, windows: Mapping[str, tuple[str, str]]) -> dict[str, float]:
    """Compound return over stretches of the calendar, such as ``{"2008": ("2008-01-01", "2008-12-31")}``.

    Args:
        returns: simple returns by date; each is earned on its date.
        windows: first and last date by name, both included.

    Returns:
        One return a window, NaN where no date falls into it.
    """
    inside = {name: returns.loc[first:last] for name, (first, last) in windows.items()}
    return {name: float(np.prod(1 + part) - 1) if len(part) else float("nan") for name, part in inside.items()}
