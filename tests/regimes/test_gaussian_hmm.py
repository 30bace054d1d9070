"""The Gaussian hidden Markov model: its likelihood, its fit and its settings."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from praesidium.component import InputError
from praesidium.regimes import hmm
from praesidium.regimes.gaussian_hmm import GaussianHMM
from praesidium.regimes.shapes import Diagonal, Full, Shape

COVARIANCES = ["diag", "full"]
METHODS = ["em", "gradient"]
TRANSITION = np.array([[0.97, 0.03], [0.06, 0.94]])
FACTORS = np.array([[[0.006, 0.0], [0.002, 0.008]], [[0.02, 0.0], [0.015, 0.01]]])
MEANS = np.array([[0.001, 0.0], [-0.002, 0.001]])


def market(rows, seed=0):
    """Two assets in a calm and a wild regime, and the regimes."""
    draws = np.random.default_rng(seed)
    states = np.zeros(rows, dtype=int)
    for t in range(1, rows):
        states[t] = draws.random() < TRANSITION[states[t - 1], 1]
    return MEANS[states] + (FACTORS[states] @ draws.normal(size=(rows, 2, 1)))[..., 0], states


def with_holes(X, share, seed=1):
    holes = X.copy()
    holes[np.random.default_rng(seed).random(X.shape) < share] = np.nan
    return holes


@pytest.fixture(scope="module")
def long_market():
    return market(3000)


@pytest.mark.parametrize("method", METHODS)
def test_what_was_planted_is_found(method, long_market):
    X, states = long_market
    model = GaussianHMM(2, covariance="full", method=method).fit(X)
    assert model.converged_
    np.testing.assert_allclose(model.transition_, TRANSITION, atol=0.02)
    np.testing.assert_allclose(model.means_, MEANS, atol=0.0025)
    np.testing.assert_allclose(model.covariances_, FACTORS @ FACTORS.transpose(0, 2, 1), atol=5e-5)
    np.testing.assert_allclose(model.volatilities_, [0.006, 0.02], rtol=0.06)
    truth = GaussianHMM(2, covariance="full")
    truth.initial_, truth.transition_, truth.means_ = np.array([1.0, 0.0]), TRANSITION, MEANS
    truth.scales_, truth.n_features_in_ = FACTORS @ FACTORS.transpose(0, 2, 1), 2
    for labels in ("predict", "decode"):
        best = (getattr(truth, labels)(X) == states).mean()
        assert (getattr(model, labels)(X) == states).mean() > best - 0.005
    assert model.score(X) > truth.score(X)  # the maximum is above any other point


@pytest.mark.parametrize(("covariance", "share"), [("diag", 0.2), ("full", 0.0), ("full", 0.2)])
def test_expectation_maximization_never_falls(covariance, share):
    X = with_holes(market(250)[0], share)
    model = GaussianHMM(3, covariance=covariance, tol=0.0, max_iter=30, n_init=1, min_variance=1e-9).fit(
        X, lengths=[100, 1, 149]
    )
    assert len(model.history_) > 10
    assert (np.diff(model.history_) > -1e-8).all()
    assert model.history_[-1] == pytest.approx(model.score(X, lengths=[100, 1, 149]))
    assert model.n_iter_ == len(model.history_) - 1


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_both_methods_reach_the_same_optimum(covariance):
    X = with_holes(market(400)[0], 0.2)
    one, two = (
        GaussianHMM(2, covariance=covariance, method=method, n_init=2, tol=1e-10, max_iter=1000, stickiness=3).fit(X)
        for method in METHODS
    )
    assert one.history_[-1] == pytest.approx(two.history_[-1], abs=1e-4)
    np.testing.assert_allclose(one.transition_, two.transition_, atol=1e-3)
    np.testing.assert_allclose(one.covariances_, two.covariances_, atol=1e-6)
    np.testing.assert_allclose(one.filter(X), two.filter(X), atol=5e-3)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_what_is_missing_is_integrated_out(covariance):
    """The likelihood of each row is that of the part which was observed."""
    X = with_holes(market(60)[0], 0.4)
    model = GaussianHMM(2, covariance=covariance, max_iter=3).fit(market(300)[0])
    density = np.zeros((60, 2))
    for t, row in enumerate(X):
        seen = ~np.isnan(row)
        for k in range(2) if seen.any() else ():
            law = multivariate_normal(model.means_[k][seen], model.covariances_[k][np.ix_(seen, seen)])
            density[t, k] = law.logpdf(row[seen])
    initial, transition = (torch.from_numpy(one).log() for one in (model.initial_, model.transition_))
    expected = hmm.log_normalizer(initial, transition, torch.from_numpy(density).unsqueeze(0)).item()
    assert model.score(X) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize("cut", [90, 1000, 1498])
def test_later_rows_and_their_holes_cannot_move_a_bit(covariance, cut):
    """Rows with the same holes are worked on together; how many of them follow must not matter."""
    draws = np.random.default_rng(7)
    X = np.repeat([1.0, 3.0, 1.0], 500)[:, np.newaxis] * draws.normal(size=(1500, 5)) @ draws.normal(size=(5, 5))
    X = with_holes(X, 0.05)
    model = GaussianHMM(2, covariance=covariance, n_init=1, max_iter=10).fit(X)
    for share in (0.0, 0.3, 1.0):
        later = X.copy()
        later[cut + 1 :] = with_holes(draws.normal(size=(1499 - cut, 5)), share)
        for ask in (model.filter, model.forecast, model.log_scores):
            np.testing.assert_array_equal(ask(X)[: cut + 1], ask(later)[: cut + 1])


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_parameters_survive_holes(covariance, long_market):
    X = long_market[0]
    whole, holed = (GaussianHMM(2, covariance=covariance, n_init=1).fit(one) for one in (X, with_holes(X, 0.3)))
    np.testing.assert_allclose(holed.volatilities_, whole.volatilities_, rtol=0.08)
    np.testing.assert_allclose(holed.transition_, whole.transition_, atol=0.03)
    if covariance == "full":  # filled by zeros, correlations would shrink by half
        first, second = (
            one.covariances_[:, 0, 1] / np.sqrt(one.covariances_[:, 0, 0] * one.covariances_[:, 1, 1])
            for one in (whole, holed)
        )
        np.testing.assert_allclose(first, second, atol=0.08)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_one_regime_has_the_moments_of_all_rows(covariance):
    X = market(200)[0]
    model = GaussianHMM(1, covariance=covariance, n_init=1).fit(X)
    expected = np.cov(X.T, ddof=0)
    np.testing.assert_allclose(model.means_[0], X.mean(0), atol=1e-12)
    np.testing.assert_allclose(model.covariances_[0], expected if covariance == "full" else np.diag(np.diag(expected)))
    assert model.transition_.tolist() == [[1.0]]
    assert model.n_parameters_ == (5 if covariance == "full" else 4)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_units_do_not_matter(covariance):
    X = market(300)[0]
    scale, shift = np.array([100.0, 1e-3]), np.array([5.0, -3.0])
    one, two = (GaussianHMM(2, covariance=covariance, n_init=2).fit(values) for values in (X, X * scale + shift))
    np.testing.assert_allclose(two.means_, one.means_ * scale + shift, rtol=1e-6)
    np.testing.assert_allclose(two.covariances_, one.covariances_ * np.outer(scale, scale), rtol=1e-5)
    np.testing.assert_allclose(one.filter(X), two.filter(X * scale + shift), atol=1e-6)
    assert two.score(X * scale + shift) == pytest.approx(one.score(X) - len(X) * np.log(scale).sum())


def test_stickiness_makes_regimes_last_and_is_part_of_the_objective():
    X = market(300)[0]
    stays = [GaussianHMM(2, n_init=1, stickiness=pull).fit(X).transition_.diagonal().sum() for pull in (0, 20, 200)]
    assert stays == sorted(stays)
    model = GaussianHMM(2, n_init=1, stickiness=20).fit(X)
    prior = 20 * np.log(model.transition_.diagonal()).sum()
    assert model.history_[-1] == pytest.approx(model.score(X) + prior)
    assert (np.diff(model.history_) > -1e-8).all()


def test_a_variance_keeps_its_lower_bound():
    X = market(300)[0]
    X[100:140] = X[100]  # forty days without trade
    for covariance in COVARIANCES:
        model = GaussianHMM(3, covariance=covariance, min_variance=0.01, n_init=2).fit(X)
        share = np.linalg.eigvalsh(model.covariances_ / np.outer(X.std(0), X.std(0)))
        assert share.min() > 0.01 - 1e-9
        assert np.isfinite(model.score(X))


def test_constant_and_empty_columns():
    X = market(120)[0]
    flat = np.column_stack([X, np.full(120, 2.0)])
    model = GaussianHMM(2).fit(flat)
    np.testing.assert_allclose(model.means_[:, 2], 2.0)
    np.testing.assert_allclose(model.filter(flat), GaussianHMM(2).fit(X).filter(X), atol=1e-6)
    with pytest.raises(InputError, match=r"X: columns \[2\] hold no number"):
        GaussianHMM(2).fit(np.column_stack([X, np.full(120, np.nan)]))


def test_more_starts_are_never_worse_after_the_short_runs():
    X = market(200, seed=3)[0]
    few, many = (GaussianHMM(3, n_init=count, max_iter=1).fit(X).history_[-2] for count in (1, 6))
    assert many >= few


def test_samples_have_the_moments_of_their_regimes():
    model = GaussianHMM(2, covariance="full").fit(market(1000)[0])
    values, states = model.sample(40_000)
    for k in range(2):
        part = values[states == k]
        np.testing.assert_allclose(np.cov(part.T), model.covariances_[k], rtol=0.08, atol=2e-6)
        np.testing.assert_allclose(part.mean(0), model.means_[k], atol=4 * model.volatilities_[k] / len(part) ** 0.5)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"covariance": "fulll"}, "did you mean 'full'"),
        ({"method": "EM"}, "method: 'EM' is unknown"),
        ({"n_init": 0}, "n_init: 0 is not a positive whole number"),
        ({"max_iter": 0}, "max_iter: 0"),
        ({"tol": -1.0}, "tol: -1.0"),
        ({"stickiness": float("nan")}, "stickiness: nan"),
        ({"min_variance": 1.0}, "min_variance: 1.0 is not a share"),
    ],
)
def test_settings_out_of_bounds_are_refused(setting, message):
    with pytest.raises(InputError, match=message):
        GaussianHMM(2, **setting).fit(market(50)[0])


# ---- shapes of scale matrices ---------------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True, max_examples=20)
@given(seed=st.integers(0, 999), features=st.integers(1, 4), kind=st.sampled_from(COVARIANCES))
def test_free_numbers_stand_for_any_matrix_above_the_bound(seed, features, kind):
    draws = torch.Generator().manual_seed(seed)
    half = torch.randn(3, features, features + 2, dtype=torch.float64, generator=draws)
    full = half @ half.mT + 0.1 * torch.eye(features, dtype=torch.float64)
    shape, scale = Shape.registry[kind], full if kind == "full" else full.diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(shape.bound(shape.free(scale, 0.01), 0.01), scale)
    assert (torch.linalg.eigvalsh(shape.matrices(shape.raised(scale, 3.0))) > 3.0 - 1e-9).all()
    torch.testing.assert_close(shape.raised(scale, 0.01), scale)


def test_a_full_matrix_without_correlation_is_a_diagonal_one():
    rows = torch.from_numpy(with_holes(market(80)[0], 0.3)) * 100
    mean = torch.tensor([[0.1, 0.0], [-0.2, 0.3]], dtype=torch.float64)
    scale = torch.tensor([[0.5, 1.0], [4.0, 2.0]], dtype=torch.float64)
    for one, two in zip(
        Diagonal(rows).distance(mean, scale), Full(rows).distance(mean, scale.diag_embed()), strict=True
    ):
        torch.testing.assert_close(one, two)
