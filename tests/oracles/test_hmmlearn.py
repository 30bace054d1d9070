"""Hidden Markov models against hmmlearn."""

import numpy as np
import pytest
import torch
from hmmlearn.hmm import GaussianHMM as Reference

from praesidium.regimes import hmm
from praesidium.regimes.baum_welch import Fit, Problem, expectation_maximization
from praesidium.regimes.densities import Laws, Normal
from praesidium.regimes.gaussian_hmm import GaussianHMM
from praesidium.regimes.shapes import Shape

LENGTHS = [140, 1, 259]
COVARIANCES = ["diag", "full"]


def simulated(seed=0, rows=400, regimes=3, features=2):
    """Rows from a sticky chain with regimes that differ in mean and volatility."""
    draws = np.random.default_rng(seed)
    states = np.zeros(rows, dtype=int)
    for t in range(1, rows):
        states[t] = states[t - 1] if draws.random() < 0.95 else draws.integers(regimes)
    mix = np.array([[1.0, 0.4], [0.0, 1.0]])
    return (0.5 * states + np.array([0.5, 1.0, 2.0])[states] * (draws.normal(size=(rows, features)) @ mix).T).T


def parameters(covariance, seed=1, regimes=3, features=2):
    """A start: initial, transition, means and covariances as hmmlearn takes them."""
    draws = np.random.default_rng(seed)
    initial, transition = draws.dirichlet(np.ones(regimes)), draws.dirichlet(np.ones(regimes), size=regimes)
    means = draws.normal(size=(regimes, features))
    half = draws.normal(size=(regimes, features, features + 2))
    full = half @ half.transpose(0, 2, 1) / 4
    return initial, transition, means, full if covariance == "full" else np.diagonal(full, axis1=1, axis2=2).copy()


def reference(covariance, start, **settings):
    model = Reference(len(start[0]), covariance, init_params="", **settings)
    model.startprob_, model.transmat_, model.means_, model.covars_ = start
    return model


def ours(covariance, start):
    """A fitted model with these parameters."""
    model = GaussianHMM(len(start[0]), covariance=covariance)
    initial, transition, means, covariances = start
    model.initial_, model.transition_, model.means_, model.scales_ = initial, transition, means, covariances
    model.n_features_in_ = means.shape[1]
    return model


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_inference_agrees(covariance):
    X, start = simulated(), parameters(covariance)
    model, other = ours(covariance, start), reference(covariance, start)
    total, posterior = other.score_samples(X, LENGTHS)
    _, path = other.decode(X, LENGTHS)
    assert model.score(X, lengths=LENGTHS) == pytest.approx(total, rel=1e-10)
    np.testing.assert_allclose(model.smooth(X, lengths=LENGTHS), posterior, atol=1e-8, rtol=0)
    np.testing.assert_array_equal(model.decode(X, lengths=LENGTHS), path)
    arguments = model._evidence(*model._given(X, None, None))
    assert hmm.viterbi(*arguments).log_probability.item() == pytest.approx(other.decode(X)[0], rel=1e-10)
    assert model.aic(X) == pytest.approx(other.aic(X), rel=1e-10)
    assert model.bic(X) == pytest.approx(other.bic(X), rel=1e-10)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_every_step_of_expectation_maximization_agrees(covariance, lengths):
    X, start, steps = simulated(), parameters(covariance), 12
    other = reference(covariance, start, n_iter=steps, tol=-np.inf, covars_prior=0.0).fit(X, lengths)

    counts = [len(X)] if lengths is None else lengths
    padded = torch.full((len(counts), max(counts), X.shape[1]), torch.nan, dtype=torch.float64)
    for row, part in zip(padded, np.split(X, np.cumsum(counts)[:-1]), strict=True):
        row[: len(part)] = torch.from_numpy(part)
    initial, transition, means, covariances = map(torch.from_numpy, start)
    laws = Laws(means, covariances, Normal().start(3))
    problem = Problem(
        Shape.registry[covariance](padded.flatten(0, 1)), Normal(), torch.tensor(counts), stickiness=0.0, least=1e-9
    )
    found = expectation_maximization(problem, Fit(initial, transition, laws), max_iter=steps, tol=-np.inf)
    np.testing.assert_allclose(found.history[:-1], other.monitor_.history, rtol=1e-9)
    np.testing.assert_allclose(found.initial, other.startprob_, atol=1e-8)
    np.testing.assert_allclose(found.transition, other.transmat_, atol=1e-8)
    np.testing.assert_allclose(found.laws.mean, other.means_, atol=1e-7)
    expected = other.covars_ if covariance == "full" else np.diagonal(other.covars_, axis1=1, axis2=2)
    np.testing.assert_allclose(found.laws.scale, expected, atol=1e-7)


@pytest.mark.parametrize(("covariance", "method", "tol"), [("diag", "gradient", 1e-10), ("full", "em", 1e-11)])
def test_a_fit_ends_where_hmmlearn_cannot_climb_further(covariance, method, tol):
    X = simulated(rows=600)
    model = GaussianHMM(3, covariance=covariance, method=method, n_init=1, tol=tol, max_iter=2000).fit(X)
    start = (model.initial_, model.transition_, model.means_, model.scales_)
    other = reference(covariance, start, n_iter=50, tol=-np.inf, covars_prior=0.0).fit(X)
    assert model.score(X) == pytest.approx(other.score(X), abs=1e-5)
    np.testing.assert_allclose(model.means_, other.means_, atol=1e-3)
    np.testing.assert_allclose(model.transition_, other.transmat_, atol=1e-3)
