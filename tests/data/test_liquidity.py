"""Illiquidity: its definition, its quartile among the past, and no look ahead."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.data.liquidity import amihud, quartile, stressed_share
from praesidium.data.prices import Prices, sp500

DRAWS = np.random.default_rng(3)
DAYS = 700
PRICES = Prices(
    pd.bdate_range("2015-01-01", periods=DAYS),
    100 * np.exp(np.cumsum(DRAWS.normal(0, 0.01, DAYS))),
    "made",
    DRAWS.uniform(1e6, 2e6, DAYS),
)


def test_it_is_the_mean_absolute_return_by_the_value_traded():
    frame = pd.DataFrame({"close": PRICES.close, "volume": PRICES.volume})
    daily = np.log(frame.close).diff().abs() / (frame.close * frame.volume)
    assert np.allclose(amihud(PRICES), 1e6 * daily.rolling(20).mean(), equal_nan=True)
    assert np.isnan(amihud(PRICES)[:20]).all()


def test_a_day_without_trades_makes_its_windows_unknown():
    volume = PRICES.volume.copy()
    volume[100] = 0
    found = amihud(replace(PRICES, volume=volume))
    assert np.isnan(found[100:120]).all()
    assert np.isfinite(found[20:100]).all()
    assert np.isfinite(found[120:]).all()


def test_without_volumes_it_says_so():
    with pytest.raises(InputError, match="sp500: has no volumes, so that liquidity cannot be told"):
        amihud(sp500())
    with pytest.raises(InputError, match="window=0"):
        amihud(PRICES, window=0)
    assert stressed_share(sp500(), np.arange(10)) is None


def test_quartiles_hold_equal_shares_and_rank_by_value():
    values = DRAWS.permutation(np.arange(1000.0))
    tags = quartile(values, history=1000)
    assert (tags[:251] == 0).all()
    for now in (251, 600, 999):
        place = np.mean(values[: now + 1] <= values[now])
        assert tags[now] in {np.ceil(4 * place), min(4, np.ceil(4 * place) + 1), max(1, np.ceil(4 * place) - 1)}
    assert abs(np.mean(tags[251:] == 4) - 0.25) < 0.05
    assert tags[np.argmax(values)] in {0, 4}


def test_a_drift_of_years_does_not_tag_all_of_the_past():
    """Volumes grow: against its own three years, a quarter of the days is illiquid early and late."""
    values = np.exp(-np.arange(3000) / 1000) * DRAWS.lognormal(0, 1, 3000)
    tags = quartile(values)
    early, late = np.mean(tags[800:1500] == 4), np.mean(tags[2300:] == 4)
    assert 0.1 < late < 0.4
    assert 0.1 < early < 0.4


@settings(deadline=None, derandomize=True, max_examples=20)
@given(now=st.integers(260, DAYS - 2), seed=st.integers(0, 1000))
def test_the_future_cannot_move_the_past(now, seed):
    other = np.random.default_rng(seed)
    close, volume = PRICES.close.copy(), PRICES.volume.copy()
    close[now + 1 :] *= np.exp(other.normal(0, 0.1, DAYS - now - 1))
    volume[now + 1 :] *= other.uniform(0.1, 3, DAYS - now - 1)
    changed = replace(PRICES, close=close, volume=volume)
    for measure in (amihud, lambda one: quartile(amihud(one))):
        assert measure(PRICES)[: now + 1].tobytes() == measure(changed)[: now + 1].tobytes()


def test_a_week_of_panic_is_illiquid():
    close = PRICES.close.copy()
    close[600:640] *= np.exp(np.cumsum(DRAWS.normal(0, 0.06, 40)))
    panic = replace(PRICES, close=close)
    assert stressed_share(panic, np.arange(610, 640)) > 0.9
    assert stressed_share(panic, np.arange(300, 600)) < 0.5
