"""Metrics against loops over days, pandas and hand-made series."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium import risk
from praesidium.component import InputError
from praesidium.portfolio.metrics import METRICS, Track, summary, window_returns
from praesidium.training.reproducibility import stream

LAW = settings(deadline=None, derandomize=True, max_examples=30)


def track(days=700, batch=(), seed=0, scale=0.012):
    draws = np.random.default_rng(stream("tests", "metrics", seed).initial_seed())
    returns = draws.standard_t(4, (days, *batch)) * scale / 2**0.5 + 2e-4
    return Track(returns, np.abs(draws.normal(0, 0.02, (days, *batch))))


def by_hand(returns, turnover):
    """Every metric from its words, in plain Python."""
    days, wealth, path = len(returns), 1.0, [1.0]
    for one in returns:
        wealth *= 1 + one
        path.append(wealth)
    peak, fall = 0.0, 0.0
    for value in path:
        peak = max(peak, value)
        fall = max(fall, 1 - value / peak)
    mean = sum(returns) / days
    deviation = math.sqrt(sum((one - mean) ** 2 for one in returns) / (days - 1))
    downside = math.sqrt(sum(min(one, 0) ** 2 for one in returns) / days)
    growth = wealth ** (252 / days) - 1
    losses = torch.tensor([-one for one in returns], dtype=torch.float64)
    return {
        "cagr": growth,
        "volatility": deviation * math.sqrt(252),
        "sharpe": mean / deviation * math.sqrt(252),
        "sortino": mean / downside * math.sqrt(252),
        "max_drawdown": fall,
        "calmar": growth / fall,
        "cvar_95": risk.cvar(losses, level=0.95).item(),
        "worst_year": min(path[day + 252] / path[day] - 1 for day in range(days - 251)),
        "turnover": 252 * sum(turnover) / days,
    }


@LAW
@given(seed=st.integers(0, 1000), days=st.integers(252, 600), scale=st.sampled_from([1e-3, 0.01, 0.05]))
def test_every_metric_agrees_with_its_words(seed, days, scale):
    one = track(days, seed=seed, scale=scale)
    expected = by_hand(one.returns.tolist(), one.daily_turnover.tolist())
    assert list(expected) == list(METRICS)
    assert summary(one) == pytest.approx(expected, rel=1e-9)


def test_many_tracks_at_once_are_each_measured_alone():
    many = track(300, batch=(5,))
    for metric in METRICS.values():
        alone = [metric.of(Track(many.returns[:, place], many.daily_turnover[:, place])) for place in range(5)]
        np.testing.assert_allclose(metric.of(many), alone, rtol=1e-12)


def test_losses_are_positive_and_the_start_is_a_peak():
    fallen = Track(np.array([-0.5, -0.1, 0.2]), np.zeros(3))
    assert fallen.max_drawdown == pytest.approx(1 - 0.5 * 0.9)
    assert fallen.cvar(level=0.5) == pytest.approx((0.5 + 0.5 * 0.1) / 1.5)
    assert (fallen.cagr < 0) & (fallen.calmar < 0)


def test_a_ratio_over_nothing_is_missing():
    cash = summary(Track(np.full(300, 1e-4), np.zeros(300)))
    assert {name for name, value in cash.items() if math.isnan(value)} == {"sharpe", "sortino", "calmar"}
    assert cash["cagr"] == pytest.approx(1.0001**252 - 1)
    assert math.isnan(summary(Track(np.full(251, 1e-4), np.zeros(251)))["worst_year"])


@LAW
@given(factor=st.floats(0.1, 3), seed=st.integers(0, 100))
def test_ratios_do_not_depend_on_size(factor, seed):
    one = track(400, seed=seed)
    other = Track(factor * one.returns, one.daily_turnover)
    assert other.sharpe == pytest.approx(one.sharpe)
    assert other.sortino == pytest.approx(one.sortino)
    assert other.volatility == pytest.approx(factor * one.volatility)
    assert other.cvar(level=0.9) == pytest.approx(factor * one.cvar(level=0.9))


def test_windows_of_the_calendar_compound_and_meet_without_a_gap():
    dates = pd.bdate_range("2007-12-20", "2009-01-10")
    returns = pd.Series(track(len(dates)).returns, dates)
    windows = {
        "all": ("2007-01-01", "2009-12-31"),
        "before": ("2007-01-01", "2007-12-31"),
        "2008": ("2008-01-01", "2008-12-31"),
        "after": ("2009-01-01", "2009-12-31"),
        "never": ("2010-01-01", "2010-12-31"),
    }
    found = window_returns(returns, windows)
    yearly = (1 + returns).groupby(returns.index.year).prod() - 1
    assert [found["before"], found["2008"], found["after"]] == pytest.approx(yearly.tolist())
    parts = (1 + found["before"]) * (1 + found["2008"]) * (1 + found["after"])
    assert 1 + found["all"] == pytest.approx(parts)
    assert math.isnan(found["never"])


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="level=95 is not a fraction"):
        track().cvar(level=95)
    with pytest.raises(InputError, match="at -100 % or below"):
        Track(np.array([0.0, -1.0]), np.zeros(2))
    with pytest.raises(InputError, match="a return is missing"):
        Track(np.array([0.0, np.nan]), np.zeros(2))
    with pytest.raises(InputError, match="a return is missing, infinite"):
        Track(np.array([0.0, np.inf]), np.zeros(2))
    with pytest.raises(InputError, match="a turnover is missing or infinite"):
        Track(np.zeros(2), np.array([0.0, np.nan]))
    with pytest.raises(InputError, match="and a day"):
        Track(np.zeros(0), np.zeros(0))
