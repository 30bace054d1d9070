"""Indicators of risk and reward from past returns: what a jump model tells regimes apart by."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

Values = Float[np.ndarray, "times sequences"]


def downside_deviation(returns: Values, *, half_life: float) -> Values:
    """Root of the exponentially weighted mean of min(r, 0)^2: risk a period, in the unit of the returns.

    Weights 2^(-age / half_life), normalized over the returns that are there. Row t knows the returns up to t alone.
    NaN where the return is missing, and until ``half_life`` returns have been seen.

    Source: Shu, Yu and Mulvey 2024, section 3.4.1.
    """
    return np.sqrt(_weighted_mean(np.square(np.minimum(returns, 0.0)), half_life))


def sortino_ratio(returns: Values, *, half_life: float) -> Values:
    """Exponentially weighted mean return over the downside deviation with the same weights: reward for risk, a period.

    NaN where :func:`downside_deviation` is, and where it is zero.

    Source: Shu, Yu and Mulvey 2024, section 3.4.1.
    """
    risk = downside_deviation(returns, half_life=half_life)
    reward = _weighted_mean(returns, half_life)
    return np.divide(reward, risk, out=np.full_like(risk, np.nan), where=risk > 0)


def risk_and_reward(
    values: Float[np.ndarray, "times sequences columns"], half_lives: Sequence[float]
) -> Float[np.ndarray, "times sequences features"]:
    """Downside deviations and Sortino ratios of the first column, one each a half-life, then the other columns."""
    returns = values[..., 0]
    made = [rule(returns, half_life=one) for rule in (downside_deviation, sortino_ratio) for one in half_lives]
    return np.concatenate([np.stack(made, axis=-1), values[..., 1:]], axis=-1)


def as_they_are(
    values: Float[np.ndarray, "times sequences columns"], half_lives: Sequence[float]
) -> Float[np.ndarray, "times sequences columns"]:
    """The columns themselves."""
    return values


INDICATORS: dict[str, Callable[..., np.ndarray]] = {"none": as_they_are, "returns": risk_and_reward}
"""What regimes are told apart by, from the columns of X; row t knows the rows up to t alone."""


def _weighted_mean(values: Values, half_life: float) -> Values:
    weighted = pd.DataFrame(values).ewm(halflife=half_life, min_periods=int(np.ceil(half_life))).mean().to_numpy()
    return np.where(np.isnan(values), np.nan, weighted)
