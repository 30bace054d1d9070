"""Walk forward: refit on the past, decide day by day, and keep one book over all days after the first fit."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from numbers import Integral
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Float
from pandas.api.types import is_numeric_dtype
from skfolio.model_selection import WalkForward
from skfolio.optimization import BaseOptimization

from praesidium.component import InputError, whole
from praesidium.portfolio.ledger import Ledger, run_ledger
from praesidium.portfolio.metrics import Track
from praesidium.regimes.causality import LookAhead, deciding


@runtime_checkable
class Strategy(Protocol):
    """What can be walked forward: timing rules and allocators as they are, skfolio's optimizers once wrapped."""

    def fit(self, X: pd.DataFrame) -> Any:
        """Learn from the simple returns of the assets up to the day of the fit."""
        ...

    def decide(self, X: pd.DataFrame) -> np.ndarray:
        """Target weights (days, assets) at the close of each row of returns, from that row and those before it.

        ``X`` starts where the data of the last fit started and goes on past them. A row of NaN decides nothing.
        """
        ...


class Rebalanced:
    """An skfolio optimizer as a strategy: back to its weights on the day of each fit, drifting in between.

    Args:
        optimizer: fitted at each refit; what it holds then, as if traded without delay, is told to it as
            ``previous_weights``.
        previous: weights held before the fit, as if traded without delay.
    """

    def __init__(self, optimizer: BaseOptimization, previous: Float[np.ndarray, " assets"]) -> None:
        self.optimizer = optimizer.set_params(previous_weights=previous)

    def fit(self, X: pd.DataFrame) -> Rebalanced:
        with deciding():  # an optimizer decides when it is fitted
            self.optimizer.fit(X)
        self.fitted_on = len(X) - 1
        return self

    def decide(self, X: pd.DataFrame) -> np.ndarray:
        weights = np.full(X.shape, np.nan)
        weights[self.fitted_on] = self.optimizer.weights_
        return weights


@dataclass(frozen=True, eq=False)
class Decisions:
    """What a strategy decided, before anything is traded.

    Attributes:
        prices: closes from the first decision to the end of the data.
        targets: weights decided at each of these closes; NaN where nothing was.
        refits: the closes at which the strategy was fitted.
    """

    prices: pd.DataFrame
    targets: Float[np.ndarray, "times assets"]
    refits: pd.Index

    def traded(
        self,
        *,
        delay: int = 1,
        cost_rate: float | Float[np.ndarray, " assets"] = 0.001,
        fixed_cost: float = 0.0,
        rate: float = 0.0,
        capital: float = 1.0,
    ) -> Backtest:
        """Keep the book of these decisions; the terms are those of :func:`.run_ledger`."""
        book = run_ledger(
            self.prices.to_numpy(np.float64),
            self.targets,
            capital=capital,
            cost_rate=cost_rate,
            fixed_cost=fixed_cost,
            rate=rate,
            delay=delay,
        )
        return Backtest(self, book)


@dataclass(frozen=True, eq=False)
class Backtest:
    """Decisions and the book that came of them, by date."""

    decisions: Decisions
    ledger: Ledger

    @property
    def dates(self) -> pd.Index:
        """Closes out of sample: the first decision, then every day to the end of the data."""
        return self.decisions.prices.index

    @cached_property
    def wealth(self) -> pd.Series:
        """Wealth after each close."""
        return pd.Series(self.ledger.wealth, self.dates, name="wealth")

    @cached_property
    def returns(self) -> pd.Series:
        """Simple net return of each close; they compound to wealth without a gap."""
        return pd.Series(self.ledger.returns, self.dates, name="return")

    @cached_property
    def turnover(self) -> pd.Series:
        """Money bought and sold at each close over wealth."""
        return pd.Series(self.ledger.turnover, self.dates, name="turnover")

    @cached_property
    def weights(self) -> pd.DataFrame:
        """Weights held from each close to the next."""
        return pd.DataFrame(self.ledger.weights, self.dates, self.decisions.prices.columns)

    @property
    def track(self) -> Track:
        """What the metrics and the bootstrap take."""
        return Track(self.ledger.returns, self.ledger.turnover)


def backtest(
    strategy: Strategy | BaseOptimization,
    prices: pd.DataFrame,
    *,
    refit_every: int = 21,
    train_window: int | None = None,
    start: int | str | pd.Timestamp | None = None,
    delay: int = 1,
    cost_rate: float | Float[np.ndarray, " assets"] = 0.001,
    fixed_cost: float = 0.0,
    rate: float = 0.0,
    capital: float = 1.0,
) -> Backtest:
    """Walk a strategy forward and trade what it decides: :func:`decide`, then :meth:`Decisions.traded`."""
    decisions = decide(strategy, prices, refit_every=refit_every, train_window=train_window, start=start)
    return decisions.traded(delay=delay, cost_rate=cost_rate, fixed_cost=fixed_cost, rate=rate, capital=capital)


def decide(
    strategy: Strategy | BaseOptimization,
    prices: pd.DataFrame,
    *,
    refit_every: int = 21,
    train_window: int | None = None,
    start: int | str | pd.Timestamp | None = None,
) -> Decisions:
    """Fit a copy of the strategy every ``refit_every`` days on what is past, and collect what it decides in between.

    While decisions are made regime models refuse to smooth (:func:`.deciding`). Each block of decisions is made a
    second time with another future; if an earlier decision changes, the strategy is refused.

    Args:
        strategy: a :class:`Strategy`, or an optimizer of skfolio, which is told what it holds at each fit, as if
            traded without delay. It is copied, never fitted itself.
        prices: closes by date, one column an asset, without gaps.
        refit_every: days between fits.
        train_window: returns in each fit, fewer while there are not so many; None takes all that are past.
        start: the first decision, as a date or as a number of returns before it; by default ``train_window``.

    Raises:
        InputError: if the strategy, prices or sizes cannot be used, or weights come in another shape than the returns.
        LookAhead: if a decision depends on days after it, or a regime model is asked to smooth.
    """
    if not isinstance(strategy, Strategy | BaseOptimization):
        raise InputError(
            f"decide: a {type(strategy).__name__} is neither an optimizer of skfolio nor has it fit and decide; wrap "
            "what it does into a class with both"
        )
    _check_prices(prices)
    for name, value, least in (("refit_every", refit_every, 1), ("train_window", train_window, 2)):
        if value is not None and not whole(value, least):
            raise InputError(f"decide: {name}={value!r} is not a whole number of days; say at least {least}")
    first = _first(prices.index, start, train_window)
    returns = prices.pct_change().iloc[1:]
    targets = np.full(prices.shape, np.nan)
    standing, refits = np.zeros(prices.shape[1]), []
    splits = WalkForward(test_size=refit_every, train_size=first, expand_train=True, reduce_test=True)
    for past, test in splits.split(returns):
        # Return i is known at close i + 1. Close t knows the returns before t, and what it decides earns return t on.
        window = returns.iloc[past if train_window is None else past[-train_window:]]
        seen = pd.concat([window, returns.iloc[test[:-1]]])
        today, last = int(test[0]), len(window) - 1
        fitted = _copied(strategy, standing, prices.iloc[[refits[-1] if refits else today, today]])
        fitted.fit(window)
        weights = _audited(fitted, seen, last)
        standing = _stitch(weights[last:], _standing(weights)[last:], targets[today : today + len(test)], standing)
        refits.append(today)
    return Decisions(prices.iloc[first:], targets[first:], prices.index[refits])


def _copied(strategy: Strategy | BaseOptimization, held: np.ndarray, closes: pd.DataFrame) -> Strategy:
    """A copy to be fitted; an optimizer is told what its last weights have drifted to between the two closes.

    That is as if they had been traded without delay: decisions are made once, and traded with any delay.
    """
    copy = deepcopy(strategy)
    if isinstance(copy, Strategy):
        return copy
    growth = (closes.iloc[1] / closes.iloc[0]).to_numpy()
    return Rebalanced(copy, held * growth / (1 + held @ (growth - 1)))


def _audited(fitted: Strategy, seen: pd.DataFrame, last: int) -> np.ndarray:
    """Decisions by day, after a look at whether those in the first half of the block move with its second half."""
    middle = last + (len(seen) - 1 - last) // 2 + 1
    with deciding():
        weights = np.asarray(fitted.decide(seen), dtype=np.float64)
        other = seen.copy()
        other.iloc[middle:] = -0.5 * other.iloc[middle:][::-1].to_numpy()
        again = weights if middle == len(seen) else np.asarray(fitted.decide(other), dtype=np.float64)
    if weights.shape != seen.shape:
        raise InputError(f"decide: weights have shape {weights.shape}, not {seen.shape}, (days, assets) of the returns")
    if not np.array_equal(weights[:middle], again[:middle], equal_nan=True):
        raise LookAhead(
            f"decide: weights up to {seen.index[middle - 1]} change with returns after it; decide each row from the "
            "rows up to it, and draw nothing at random"
        )
    return weights


def _standing(weights: np.ndarray) -> np.ndarray:
    """The last weights decided up to each day; NaN before the first."""
    return pd.DataFrame(weights).ffill().to_numpy()


def _stitch(decided: np.ndarray, standing: np.ndarray, block: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Fill in a block of decisions; gives the weights that stand at its end.

    Where the new fit decides nothing on its first day but stands elsewhere than the fit before it, it moves there.
    """
    block[:] = decided
    if np.isnan(decided[0]).any() and not np.isnan(standing[0]).any() and not np.array_equal(standing[0], before):
        block[0] = standing[0]
    return before if np.isnan(standing[-1]).any() else standing[-1]


def _first(index: pd.Index, start: Any, train_window: Any) -> int:
    """Row of the first decision."""
    given = train_window if start is None else start
    if given is None:
        raise InputError("decide: neither start nor train_window says when the first decision is; give one of them")
    first = int(given) if isinstance(given, Integral) else _days_before(index, given)
    if not 2 <= first < len(index) - 1:
        raise InputError(
            f"decide: the first decision falls on row {first} of {len(index)}, train_window={train_window}; it needs "
            "two returns to look back on and a close after it"
        )
    return first


def _days_before(index: pd.Index, start: object) -> int:
    """Closes before a date."""
    if isinstance(start, str | date | np.datetime64):
        with suppress(TypeError, ValueError):
            return int(np.count_nonzero(index < pd.Timestamp(start)))
    raise InputError(
        f"decide: start={start!r} is no day among dates of type {index.dtype}; write it as 2005-01-03, with the time "
        "zone of the prices if they have one, or say a whole number of returns"
    )


def _check_prices(prices: Any) -> None:
    if not isinstance(prices, pd.DataFrame):
        raise InputError(
            f"decide: prices are a {type(prices).__name__}; give a DataFrame, dates down and one column an asset"
        )
    if not prices.columns.is_unique:
        double = prices.columns[prices.columns.duplicated()][0]
        raise InputError(f"decide: column {double} of prices appears twice; give each asset one column of its own name")
    text = [name for name, kind in prices.infer_objects().dtypes.items() if not is_numeric_dtype(kind)]
    if text:
        raise InputError(f"decide: column {text[0]} of prices does not hold numbers; drop or convert it")
    if not (prices.index.is_monotonic_increasing and prices.index.is_unique):
        raise InputError("decide: the dates of prices do not increase; sort them and drop what appears twice")
    closes = prices.to_numpy(np.float64)
    bad = np.argwhere(~(np.isfinite(closes) & (closes > 0)))
    if len(bad):
        day = prices.index[bad[0, 0]]
        raise InputError(
            f"decide: {len(bad)} prices are missing, infinite or not above zero (first: {day}); cut or fill them first"
        )
