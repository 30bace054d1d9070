"""Volatility bands as a regime model."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from praesidium.component import InputError
from praesidium.data.volatility import BANDS, band_of, realized_volatility
from praesidium.regimes.bands import BAND_EDGES, VolatilityBands


def market(rows=600, seed=0):
    """Daily returns whose volatility goes slowly through all bands."""
    draws = np.random.default_rng(seed)
    annual = np.exp(np.log(0.2) + 1.1 * np.sin(np.arange(rows) / 45))
    return annual / np.sqrt(252) * draws.normal(size=rows)


def test_bands_are_those_of_the_data_package():
    returns = market()
    model = VolatilityBands(edges=BAND_EDGES).fit(returns)
    names = np.array([*BANDS])
    found = model.predict(returns)
    known = found >= 0
    np.testing.assert_array_equal(known, np.arange(600) >= 19)
    np.testing.assert_array_equal(names[found[known]], band_of(realized_volatility(returns)[known]))
    assert set(found[known]) == {0, 1, 2, 3}
    filtered = model.filter(returns)
    np.testing.assert_array_equal(np.isnan(filtered).any(-1), ~known)
    np.testing.assert_array_equal(filtered[known], np.eye(4)[found[known]])
    np.testing.assert_array_equal(model.smooth(returns), filtered)
    np.testing.assert_array_equal(model.decode(returns), found)


def test_moves_are_counted():
    returns = market(300)
    model = VolatilityBands(3, pseudo_count=1e-9).fit(returns, lengths=[150, 150])
    found = model.decode(returns, lengths=[150, 150])
    counts = np.zeros((3, 3))
    for part in (found[:150], found[150:]):
        for one, two in pairwise(part[19:]):
            counts[one, two] += 1
    np.testing.assert_allclose(model.transition_, counts / counts.sum(-1, keepdims=True), atol=1e-8)
    known = found[found >= 0]
    np.testing.assert_allclose(model.initial_, np.bincount(known, minlength=3) / len(known), atol=1e-8)
    np.testing.assert_allclose(model.initial_, 1 / 3, atol=0.01)  # quantiles cut into equal parts
    smoothed = VolatilityBands(3, pseudo_count=30.0).fit(returns, lengths=[150, 150])
    assert (smoothed.transition_ > 0.01).all()


def test_moments_are_those_of_the_rows_in_the_band():
    X = np.column_stack([market(), 0.01 * np.random.default_rng(1).normal(size=600)])
    model = VolatilityBands(3, pseudo_count=1e-9).fit(X)
    volatility, found = realized_volatility(X[:, 0]), model.predict(X)
    for k in range(3):
        rows = found == k
        np.testing.assert_allclose(model.means_[k], X[rows].mean(0))
        assert model.variances_[k, 1] == pytest.approx(X[rows, 1].var())
        assert model.volatilities_[k] == pytest.approx(np.sqrt((volatility[rows] ** 2).mean() / 252))


def test_the_score_is_that_of_the_mixture_one_row_ahead():
    returns = market(80)
    model = VolatilityBands(3).fit(market())
    filtered, total = model.filter(returns), 0.0
    ahead = model.initial_
    for t, value in enumerate(returns):
        total += np.log(ahead @ norm.pdf(value, model.means_[:, 0], model.volatilities_))
        ahead = model.initial_ if np.isnan(filtered[t]).any() else filtered[t] @ model.transition_
    assert model.score(returns) == pytest.approx(total, rel=1e-12)


def test_a_missing_return_leaves_the_band_as_it_was():
    returns = market(200)
    model = VolatilityBands(edges=(0.15, 0.3)).fit(returns)
    holes = np.insert(returns, [0, 60, 60, 130], np.nan)
    kept = ~np.isnan(holes)
    np.testing.assert_array_equal(model.filter(holes)[kept], model.filter(returns))
    place = np.flatnonzero(~kept)
    for gap in place[1:]:
        np.testing.assert_array_equal(model.filter(holes)[gap], model.filter(holes)[gap - 1])
    assert np.isnan(model.filter(holes)[0]).all()
    again = VolatilityBands(edges=(0.15, 0.3)).fit(holes)
    np.testing.assert_allclose(again.means_, model.means_)


def test_a_band_that_never_occurred_has_the_nearest_volatility():
    calm = 0.05 / np.sqrt(252) * np.random.default_rng(0).normal(size=300)
    model = VolatilityBands(edges=(0.10, 0.25, 0.40)).fit(calm)
    np.testing.assert_allclose(model.volatilities_[1:] * np.sqrt(252), [0.10, 0.25, 0.40])
    assert np.isfinite(model.transition_).all()
    assert np.isfinite(model.score(market(100)))
    np.testing.assert_allclose(model.transition_[3], 0.25)


def test_a_year_has_as_many_periods_as_it_is_said_to_have():
    returns = market()
    daily, weekly = (VolatilityBands(edges=(0.2,), periods=periods).fit(returns) for periods in (252, 63))
    halved = VolatilityBands(edges=(0.2,)).fit(returns / 2)
    np.testing.assert_array_equal(weekly.predict(returns), halved.predict(returns / 2))
    assert (daily.predict(returns) == 1).sum() > (weekly.predict(returns) == 1).sum()


def test_the_number_of_bands_follows_from_the_edges():
    for model, bands in ((VolatilityBands(), 4), (VolatilityBands(edges=(0.2,)), 2)):
        assert model.get_params()["n_regimes"] is None
        assert clone(model).fit(market()).filter(market()).shape == (600, bands)
        assert model.set_params(edges=(0.1, 0.2)).fit(market()).means_.shape == (3, 1)
    one = VolatilityBands(1).fit(market(100))
    assert one.transition_.tolist() == [[1.0]]
    with pytest.raises(InputError, match="edges: 1 make 2 bands, but n_regimes=3"):
        VolatilityBands(3, edges=(0.2,)).fit(market())


def test_edges_are_searched_over():
    grid = {"edges": [None, (0.2,), (0.1, 0.3)]}
    found = GridSearchCV(VolatilityBands(), grid, cv=2, error_score="raise").fit(market()[:, np.newaxis])
    assert np.isfinite(found.cv_results_["mean_test_score"]).all()


def test_an_edge_belongs_to_the_band_above_it():
    returns = 0.01 * np.where(np.arange(30) % 2, 1, -1)
    level = realized_volatility(returns, 4)[-1]
    assert set(realized_volatility(returns, 4)[3:]) == {level}
    for edge, band in ((level, 1), (np.nextafter(level, 1), 0)):
        found = VolatilityBands(edges=(edge,), window=4).fit(returns).predict(returns)
        np.testing.assert_array_equal(found[3:], band)


def test_prices_that_never_move_are_no_trouble():
    flat = np.zeros(100)
    model = VolatilityBands(2).fit(flat)
    values, _ = model.sample(50)
    np.testing.assert_allclose(values, 0, atol=1e-12)
    assert np.isfinite(model.score(flat))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"edges": (0.3, 0.2)}, "edges: .* are not rising positive volatilities"),
        ({"edges": (0.0, 0.2)}, "edges"),
        ({"window": 0}, "window: 0"),
        ({"window": 700}, "X: no sequence has 700 returns"),
        ({"periods": 0}, "periods: 0"),
        ({"pseudo_count": -1.0}, "pseudo_count: -1.0"),
    ],
)
def test_settings_out_of_bounds_are_refused(setting, message):
    with pytest.raises(InputError, match=message):
        VolatilityBands(**setting).fit(market())
