"""Realized volatility: its definition, its bands, and no look ahead."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.data.volatility import BANDS, band_of, realized_volatility

RETURNS = np.random.default_rng(5).normal(0, 0.01, 120)


def test_agrees_with_a_rolling_mean_of_squares():
    expected = np.sqrt(252 * pd.Series(RETURNS**2).rolling(20).mean()).to_numpy()
    assert np.allclose(realized_volatility(RETURNS), expected, equal_nan=True)
    assert np.isnan(realized_volatility(RETURNS)[:19]).all()


def test_a_history_shorter_than_the_window_has_no_volatility():
    assert np.isnan(realized_volatility(RETURNS[:5])).all()
    with pytest.raises(ValueError, match="window=0"):
        realized_volatility(RETURNS, window=0)


@settings(deadline=None, derandomize=True)
@given(now=st.integers(0, 119), seed=st.integers(0, 1000), window=st.integers(1, 40))
def test_the_future_cannot_move_the_past(now, seed, window):
    other = RETURNS.copy()
    other[now + 1 :] = np.random.default_rng(seed).normal(0, 0.1, 119 - now)
    before, after = realized_volatility(RETURNS, window), realized_volatility(other, window)
    assert before[: now + 1].tobytes() == after[: now + 1].tobytes()


@settings(deadline=None, derandomize=True)
@given(volatility=st.floats(0, 5))
def test_bands_are_closed_below_and_open_above(volatility):
    lower, upper = BANDS[band_of(volatility)]
    assert lower <= volatility < upper


def test_bands_of_an_array():
    assert band_of(np.array([0.0, 0.1, 0.25, 0.4, np.nan])).tolist() == ["low", "medium", "high", "crisis", ""]
