"""Efficiency and steadiness: by hand, by exact arithmetic, and what the ratios must not depend on."""

import math
from statistics import fmean, pstdev

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.diagnostics.efficiency import BLOCK, expected_return_risk, turnover_ratio, volatility_ratio
from praesidium.training.reproducibility import stream

LAW = settings(deadline=None, derandomize=True, max_examples=40)
SEEDS = st.integers(0, 2**31)


def normals(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=stream("tests", "efficiency", seed))


def column(*values):
    return torch.tensor(values, dtype=torch.float64).unsqueeze(-1)


def test_expected_return_risk_by_hand():
    assert expected_return_risk(0.01, 0.04) == 0.25
    assert expected_return_risk(-0.01, 0.04) == -0.25
    assert expected_return_risk(0.01, 0.0) is None
    assert expected_return_risk(0.01, -0.04) is None
    assert expected_return_risk(0.01, math.nan) is None


# ---- turnover ------------------------------------------------------------------------------------------------------


def test_turnover_ratio_by_hand():
    assert turnover_ratio(column(0.5, 0.5, -1.0)) == pytest.approx((0.5 + 0 + 1.5) / 2)
    both = torch.cat([column(1.0, 1.0, 1.0, 1.0), column(0.0, 0.0, 0.0, 0.5)], dim=1)
    assert turnover_ratio(both) == pytest.approx((1 + 0.5) / (4 + 0.5))  # not the mean of 1/4 and 1
    assert turnover_ratio(torch.zeros(5, 3)) is None


@LAW
@given(seed=SEEDS, scale=st.floats(-100, 100).filter(lambda one: abs(one) > 0.01))
def test_turnover_ratio_knows_no_scale_and_lies_between_its_bounds(seed, scale):
    positions = normals(12, 5, seed=seed)
    ratio = turnover_ratio(positions)
    assert turnover_ratio(scale * positions) == pytest.approx(ratio, rel=1e-9)
    assert turnover_ratio(positions.flip(1)) == pytest.approx(ratio, rel=1e-9)
    assert 1 / 12 <= ratio <= 2  # bought once and held; reversed every day


# ---- volatility of the volatility ----------------------------------------------------------------------------------


def exact(path, window):
    """Standard library, whose deviations come from exact fractions."""
    volatility = [pstdev(path[day : day + window]) for day in range(len(path) - window + 1)]
    return pstdev(volatility) / fmean(volatility)


def test_volatility_ratio_by_hand():
    assert volatility_ratio(column(0, 2, 2, 0), window=2) == pytest.approx(math.sqrt(2) / 2)  # series 1, 0, 1
    assert volatility_ratio(column(0, 1, 0, 1, 0), window=2) == 0.0


@pytest.mark.parametrize("window", [2, 20, 59])
def test_volatility_ratio_by_exact_arithmetic(window):
    daily = normals(60, 4)
    expected = fmean(exact(path, window) for path in daily.T.tolist())
    assert volatility_ratio(daily, window) == pytest.approx(expected, rel=1e-12)


def test_a_calm_market_after_a_crash_keeps_its_digits():
    daily = normals(60, 1)
    daily[3] = 1e7
    assert volatility_ratio(daily) == pytest.approx(exact(daily[:, 0].tolist(), 20), rel=1e-12)
    drift = 1e6 + normals(60, 1, seed=1)
    assert volatility_ratio(drift) == pytest.approx(exact(drift[:, 0].tolist(), 20), rel=1e-8)


@LAW
@given(seed=SEEDS, scale=st.floats(-1e3, 1e3).filter(lambda one: abs(one) > 1e-3), drift=st.floats(-10, 10))
def test_volatility_ratio_knows_no_scale_drift_or_order_of_paths(seed, scale, drift):
    daily = normals(30, 3, seed=seed)
    ratio = volatility_ratio(daily)
    assert volatility_ratio(scale * daily) == pytest.approx(ratio, rel=1e-9)
    assert volatility_ratio(daily + drift) == pytest.approx(ratio, rel=1e-9)
    assert volatility_ratio(daily.flip(1)) == pytest.approx(ratio, rel=1e-9)
    assert volatility_ratio(daily.flip(0)) == pytest.approx(ratio, rel=1e-9)


def test_paths_of_constant_profit_are_left_out():
    daily = normals(40, 3)
    flat = torch.tensor([0.0, 0.1, -1 / 3], dtype=torch.float64).expand(40, 3)
    assert volatility_ratio(torch.cat([flat, daily], dim=1)) == volatility_ratio(daily)
    assert volatility_ratio(flat) is None
    assert math.isnan(volatility_ratio(torch.cat([daily, daily[:, :1] * math.nan], dim=1)))


def test_blocks_of_paths_join():
    daily = normals(25, 2 * BLOCK + 7)
    sizes = [one.shape[1] for one in daily.split(100, 1)]
    parts = [volatility_ratio(one) for one in daily.split(100, 1)]
    assert volatility_ratio(daily) == pytest.approx(np.average(parts, weights=sizes), rel=1e-12)


@pytest.mark.parametrize(("days", "window"), [(20, 20), (5, 20), (60, 1), (60, 0)])
def test_a_window_that_does_not_fit_is_refused(days, window):
    with pytest.raises(InputError, match=f"window={window} does not fit {days} days"):
        volatility_ratio(torch.zeros(days, 2), window)
