import math

import numpy as np
import pytest
import torch

from praesidium.markets.calibration.moments import (
    CLUSTERING_LAGS,
    LEVERAGE_LAGS,
    MOMENTS,
    heston_from_moments,
    moments,
)
from praesidium.markets.heston import Heston

ALL = np.ones(400, dtype=bool)


@pytest.fixture
def returns():
    return 0.01 * np.random.default_rng(0).standard_t(4, size=(400, 3))


def by_name(values):
    return dict(zip(MOMENTS, values, strict=True))


def test_moments_are_what_their_formulas_say(returns):
    found = by_name(moments(returns, ALL)[:, 1])
    r = returns[:, 1] - returns[:, 1].mean()
    s = r.std()
    square = r * r - s * s
    assert found["log_variance"] == pytest.approx(math.log(252 * s * s))
    assert found["log_kurtosis"] == pytest.approx(math.log(np.mean(r**4) / s**4))
    assert found["skew"] == pytest.approx(np.mean(r**3) / s**3)
    for h in CLUSTERING_LAGS:
        expected = np.mean([square[t] * square[t + h] for t in range(400 - h)]) / np.mean(square**2)
        assert found[f"clustering_{h}"] == pytest.approx(expected)
    for h in LEVERAGE_LAGS:
        expected = np.mean([r[t] * r[t + h] ** 2 for t in range(400 - h)]) / s**3
        assert found[f"leverage_{h}"] == pytest.approx(expected)
    assert found["beyond_3_sd"] == np.mean(np.abs(r) > 3 * s)
    assert found["beyond_3_sd"] > 0


def test_only_the_variance_knows_the_scale(returns):
    once, thrice = moments(returns, ALL), moments(3 * returns + 0.02, ALL)
    np.testing.assert_allclose(thrice[0], once[0] + 2 * math.log(3))
    np.testing.assert_allclose(thrice[1:], once[1:], atol=1e-12)


def test_days_left_out_are_not_looked_at_and_pairs_do_not_reach_over_them(returns):
    observed = ALL.copy()
    observed[100:160] = False
    gone = returns.copy()
    gone[~observed] = np.nan
    found = moments(gone, observed)
    np.testing.assert_array_equal(found, moments(np.where(observed[:, None], returns, 9.0), observed))

    r = returns[:, 0] - returns[observed, 0].mean()
    s = r[observed].std()
    pairs = [t for t in range(360) if observed[t] and observed[t + 40]]
    expected = np.mean([(r[t] ** 2 - s**2) * (r[t + 40] ** 2 - s**2) for t in pairs])
    expected /= np.mean((r[observed] ** 2 - s**2) ** 2)
    assert by_name(found[:, 0])["clustering_40"] == pytest.approx(expected)


def test_without_gaps_the_order_of_series_does_not_matter(returns):
    np.testing.assert_array_equal(moments(returns[:, ::-1], ALL), moments(returns, ALL)[:, ::-1])


def test_the_moment_formulas_find_heston_in_a_very_long_series():
    """Each formula is first order in dt and in one moment alone, so that a tenth is what it can do."""
    truth = {"theta": 0.04, "kappa": 5.0, "xi": 0.5, "rho": -0.6}
    market = Heston(**truth, v0=(0.04, 0.04))
    generator = torch.Generator().manual_seed(3)
    spot, _ = market.sample(paths=64, steps=4_252, dt=1 / 252, generator=generator, dtype=torch.float64)
    series = np.concatenate([spot[252:].log().diff(dim=0).numpy(), np.full((1, 64), np.nan)])
    joined = series.T.ravel()  # laid end to end, a day left out between
    found = heston_from_moments(joined, ~np.isnan(joined))
    assert found["theta"] == pytest.approx(truth["theta"], rel=0.05)
    assert found["kappa"] == pytest.approx(truth["kappa"], rel=0.12)
    assert found["xi"] == pytest.approx(truth["xi"], rel=0.1)
    assert found["rho"] == pytest.approx(truth["rho"], rel=0.12)


def test_rough_parameters_exist_where_nothing_clusters():
    found = heston_from_moments(0.01 * np.random.default_rng(1).standard_normal(260), np.ones(260, dtype=bool))
    assert found["theta"] == pytest.approx(0.0252, rel=0.2)
    assert 1 <= found["kappa"] <= 12
    assert found["xi"] > 0
    assert -0.85 <= found["rho"] <= -0.1
