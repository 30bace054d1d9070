"""The Student-t hidden Markov model: its law, its degrees of freedom, its tails."""

import numpy as np
import pytest
import torch
from scipy import stats

from praesidium.regimes.densities import LEAST_DOF, MOST_DOF, Laws, Normal, Student
from praesidium.regimes.gaussian_hmm import GaussianHMM
from praesidium.regimes.shapes import Shape
from praesidium.regimes.student_hmm import StudentHMM

COVARIANCES = ["diag", "full"]
DOF = np.array([5.0, 4.0])
SCALE = np.array([0.006, 0.02])


def market(rows, seed=0, features=2):
    """A calm and a wild regime with heavy tails; one shock hits all features of a day."""
    draws = np.random.default_rng(seed)
    states = np.zeros(rows, dtype=int)
    for t in range(1, rows):
        states[t] = 1 - states[t - 1] if draws.random() < 0.02 else states[t - 1]
    mixing = np.sqrt(DOF[states] / draws.chisquare(DOF[states]))
    return (SCALE[states] * mixing)[:, np.newaxis] * draws.normal(size=(rows, features)), states


def with_holes(X, share):
    holes = X.copy()
    holes[np.random.default_rng(1).random(X.shape) < share] = np.nan
    return holes


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_the_density_is_that_of_scipy(covariance):
    X = with_holes(100 * market(40)[0], 0.3)
    scale = torch.tensor([[[1.0, 0.4], [0.4, 2.0]], [[3.0, -1.0], [-1.0, 4.0]]], dtype=torch.float64)
    if covariance == "diag":
        scale = scale.diagonal(dim1=-2, dim2=-1)
    laws = Laws(torch.tensor([[0.1, 0.2], [0.0, -0.3]], dtype=torch.float64), scale, torch.tensor([3.0, 7.5]).double())
    shape = Shape.registry[covariance]
    found = Student().log_density(shape(torch.from_numpy(X)), laws)
    matrices = shape.matrices(scale).numpy()
    for t, row in enumerate(X):
        seen = ~np.isnan(row)
        for k in range(2):
            matrix = matrices[k][np.ix_(seen, seen)]
            law = (
                stats.multivariate_t(laws.mean[k].numpy()[seen], matrix, df=laws.dof[k].item()) if seen.any() else None
            )
            expected = law.logpdf(row[seen]) if law else 0.0
            assert found[t, k].item() == pytest.approx(expected, rel=1e-10)


def test_many_degrees_of_freedom_are_the_normal_law():
    rows = Shape.registry["full"](torch.from_numpy(100 * market(50)[0]))
    mean, scale = torch.zeros(2, 2, dtype=torch.float64), 2 * torch.eye(2, dtype=torch.float64).repeat(2, 1, 1)
    heavy, light = (
        Student().log_density(rows, Laws(mean, scale, torch.full((2,), dof).double())) for dof in (5.0, 1e9)
    )
    normal = Normal().log_density(rows, Laws(mean, scale, Normal().start(2)))
    torch.testing.assert_close(light, normal, rtol=1e-6, atol=1e-6)
    assert (heavy - normal).abs().max() > 0.1


def test_one_regime_is_the_fit_of_scipy():
    X = stats.t.rvs(4.0, loc=0.3, scale=2.0, size=800, random_state=2)
    dof, mean, scale = stats.t.fit(X)
    for method in ("em", "gradient"):
        model = StudentHMM(1, method=method, n_init=1, tol=1e-12, max_iter=2000).fit(X)
        assert model.dof_[0] == pytest.approx(dof, rel=1e-3)
        assert model.means_[0, 0] == pytest.approx(mean, abs=1e-3)
        assert model.scales_[0, 0] == pytest.approx(scale**2, rel=1e-3)
        assert model.volatilities_[0] == pytest.approx(scale * np.sqrt(dof / (dof - 2)), rel=1e-3)
        assert model.score(X) == pytest.approx(stats.t.logpdf(X, dof, mean, scale).sum(), abs=1e-5)


def test_what_was_planted_is_found():
    X, states = market(3000)
    model = StudentHMM(2).fit(X)
    assert model.converged_
    np.testing.assert_allclose(model.dof_, DOF, rtol=0.25)
    np.testing.assert_allclose(np.sqrt(model.scales_[:, 0]), SCALE, rtol=0.06)
    np.testing.assert_allclose(model.transition_.diagonal(), 0.98, atol=0.015)
    normal = GaussianHMM(2).fit(X)
    assert model.bic(X) < normal.bic(X)
    assert (model.predict(X) == states).mean() > (normal.predict(X) == states).mean()


@pytest.mark.parametrize(("covariance", "share"), [("diag", 0.2), ("full", 0.0), ("full", 0.2)])
def test_expectation_maximization_never_falls(covariance, share):
    X, lengths = with_holes(market(250)[0], share), [100, 1, 149]
    model = StudentHMM(2, covariance=covariance, method="em", n_init=1, tol=0.0, max_iter=15).fit(X, lengths=lengths)
    assert (np.diff(model.history_) > -1e-8).all()
    assert model.history_[-1] == pytest.approx(model.score(X, lengths=lengths))


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_both_methods_reach_the_same_optimum(covariance):
    X = with_holes(market(250, features=4)[0], 0.1)
    settings = {"covariance": covariance, "n_init": 1, "tol": 1e-8, "max_iter": 200}
    one, two = (StudentHMM(2, method=method, **settings).fit(X) for method in ("em", "gradient"))
    assert one.history_[-1] == pytest.approx(two.history_[-1], abs=1e-3)
    np.testing.assert_allclose(one.filter(X), two.filter(X), atol=0.02)


def test_one_wild_day_is_not_another_regime():
    X, _ = market(800, features=1)
    calm = X.copy()
    model, normal = StudentHMM(2).fit(X), GaussianHMM(2).fit(X)
    quiet = int(np.flatnonzero(model.filter(X)[:, 0] > 0.97)[50])
    calm[quiet] = 6 * SCALE[0]
    assert model.filter(calm)[quiet, 0] > normal.filter(calm)[quiet, 0] + 0.2


def test_degrees_of_freedom_stay_in_their_bounds():
    draws = np.random.default_rng(0)
    for X in (draws.normal(size=150), draws.standard_cauchy(size=150)):
        for method in ("em", "gradient"):
            model = StudentHMM(1, method=method, n_init=1, max_iter=40).fit(X)
            assert LEAST_DOF <= model.dof_[0] <= MOST_DOF
            assert np.isfinite(model.volatilities_).all()


def test_samples_have_the_volatility_and_the_tails():
    model = StudentHMM(2).fit(market(800)[0])
    model.dof_ = np.array([9.0, 9.0])
    model.volatilities_ = np.sqrt(model.scales_[:, 0] * 9 / 7)
    values, states = model.sample(60_000)
    for k in range(2):
        part = values[states == k, 0]
        assert part.std() == pytest.approx(model.volatilities_[k], rel=0.04)
        scale = np.sqrt(model.scales_[k, 0])
        expected = 2 * stats.t.sf(4.0, 9.0)
        assert (np.abs(part - model.means_[k, 0]) > 4 * scale).mean() == pytest.approx(expected, rel=0.35)
    np.testing.assert_allclose(np.sqrt(model.covariances_[:, 0, 0]), model.volatilities_)


def test_a_row_of_shocks_hits_all_features_at_once():
    model = StudentHMM(1).fit(market(1000)[0])
    values, _ = model.sample(30_000)
    one, two = np.abs(values - model.means_[0]).T
    assert np.corrcoef(one, two)[0, 1] > 0.05
