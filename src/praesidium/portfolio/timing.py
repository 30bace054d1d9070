"""Timing rules: how much of an equally weighted basket to hold each day; the rest is cash."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, cast

import numpy as np
import pandas as pd
from jaxtyping import Float
from sklearn.base import BaseEstimator, clone

from praesidium.component import InputError, whole
from praesidium.data.volatility import realized_volatility
from praesidium.regimes.model import RegimeModel


class Timing(BaseEstimator, ABC):
    """A rule for the exposure to a basket of equal parts, one asset or more.

    A member implements :meth:`exposure`, and :meth:`learn` if it has something to learn. Exposure may change every
    day; days on which it does not are days without a trade, on which the basket drifts.
    """

    def fit(self, X: pd.DataFrame, y: None = None) -> Timing:
        """Learn from the simple returns of the assets, by day."""
        self.learn(X.mean(axis=1))
        return self

    def decide(self, X: pd.DataFrame) -> Float[np.ndarray, "days assets"]:
        """Target weights at the close of each row, from that row and those before it; NaN where nothing changes.

        Args:
            X: simple returns of the assets, by day, the training days included.
        """
        exposure = self.exposure(X.mean(axis=1))
        weights = np.repeat(exposure[:, None] / X.shape[1], X.shape[1], axis=1)
        weights[1:][exposure[1:] == exposure[:-1]] = np.nan
        return weights

    def learn(self, returns: pd.Series) -> None:
        """Learn from the simple returns of the basket; most rules have nothing to learn."""

    @abstractmethod
    def exposure(self, returns: pd.Series) -> Float[np.ndarray, " days"]:
        """Share of wealth to hold at the close of each day, from returns up to that day; NaN while it is unknown."""


class BuyAndHold(Timing):
    """All in from the first day on."""

    def exposure(self, returns: pd.Series) -> Float[np.ndarray, " days"]:
        return np.ones(len(returns))


class VolatilityBand(Timing):
    """All in while realized volatility is below ``limit``, out while it is not.

    Args:
        limit: annualized volatility, a fraction: 0.25 for 25 %.
        window: days of realized volatility.

    ``exposure`` raises InputError if a setting is out of bounds.
    """

    def __init__(self, *, limit: float = 0.25, window: int = 20) -> None:
        self.limit = limit
        self.window = window

    def exposure(self, returns: pd.Series) -> Float[np.ndarray, " days"]:
        _check_fraction("VolatilityBand", "limit", self.limit)
        volatility = _volatility(returns, self.window)
        return np.where(np.isnan(volatility), np.nan, (volatility < self.limit).astype(np.float64))


class VolatilityTarget(Timing):
    """Exposure target / realized volatility, at most ``cap``.

    Args:
        target: annualized volatility to be held, a fraction: 0.10 for 10 %.
        window: days of realized volatility.
        cap: highest exposure, above 0; above 1 it borrows.

    ``exposure`` raises InputError if a setting is out of bounds.
    """

    def __init__(self, *, target: float = 0.10, window: int = 20, cap: float = 1.0) -> None:
        self.target = target
        self.window = window
        self.cap = cap

    def exposure(self, returns: pd.Series) -> Float[np.ndarray, " days"]:
        _check_fraction("VolatilityTarget", "target", self.target)
        if not 0 < self.cap < math.inf:
            raise InputError(f"VolatilityTarget: cap={self.cap:g} is not an exposure above 0; say 1 to never borrow")
        volatility = _volatility(returns, self.window)
        return self.target / np.maximum(volatility, self.target / self.cap)


class RegimeTiming(Timing):
    """All in unless the most likely regime, as filtered at the close, is the most volatile one.

    Regime models order their regimes by volatility, so that a regime means the same after every refit.

    Args:
        model: how regimes are found in the returns of the basket; it is cloned, never fitted itself.

    Attributes:
        model_: the fitted clone.
    """

    model_: RegimeModel

    def __init__(self, model: RegimeModel) -> None:
        self.model = model

    def learn(self, returns: pd.Series) -> None:
        self.model_ = cast(RegimeModel, clone(self.model)).fit(returns.to_numpy())
        if len(self.model_.transition_) < 2:
            raise InputError(f"RegimeTiming: {self.model} tells one regime apart; two are needed, the wildest in cash")

    def exposure(self, returns: pd.Series) -> Float[np.ndarray, " days"]:
        probabilities = np.asarray(self.model_.filter(returns.to_numpy()))
        calm = probabilities.argmax(axis=1) < probabilities.shape[1] - 1
        return np.where(np.isnan(probabilities).any(axis=1), np.nan, calm.astype(np.float64))


def _check_fraction(caller: str, name: str, volatility: float) -> None:
    if not 0 < volatility < 3:
        raise InputError(f"{caller}: {name}={volatility:g} is not a fraction above 0; for 10 % a year say 0.10")


def _volatility(returns: pd.Series, window: Any) -> np.ndarray:
    if not whole(window):
        raise InputError(f"timing: window={window!r} is not a number of days; say 20 for a month")
    return realized_volatility(np.log1p(returns.to_numpy(np.float64)), int(window))
