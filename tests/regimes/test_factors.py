"""Factor models by regime against scikit-learn, and the covariances that they give."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import FactorAnalysis

from praesidium.component import InputError
from praesidium.regimes.covariance import mixture_covariance
from praesidium.regimes.factors import RegimeFactorModel
from praesidium.training.reproducibility import stream


def sample(time=400, assets=6, factors=2, K=2):
    """Two sequences of returns of factor models that change with the regime, and the regimes."""
    draws = stream("tests", "factors")
    states = torch.randint(0, K, (2, time), generator=draws)
    loadings = torch.randn(K, assets, factors, dtype=torch.float64, generator=draws)
    common = torch.randn(2, time, factors, 1, dtype=torch.float64, generator=draws)
    own = torch.randn(2, time, assets, dtype=torch.float64, generator=draws) * torch.linspace(0.5, 1.5, assets)
    level = 0.1 * (1 + states).unsqueeze(-1)
    return 0.01 * (level + (loadings[states] @ common).squeeze(-1) + own), states


def hot(states):
    return torch.nn.functional.one_hot(states, 2).double()


@pytest.fixture(scope="module")
def fitted():
    returns, states = sample()
    return RegimeFactorModel(2, n_assets=6, n_factors=2).fit(returns, hot(states))


def test_one_regime_is_factor_analysis():
    returns, _ = sample()
    everything = torch.ones(*returns.shape[:2], 1)
    ours = RegimeFactorModel(1, 6, 2).fit(returns, everything)
    rows = returns.flatten(0, 1).numpy()
    unit = rows.std()  # their tolerances are made for variances about one
    theirs = FactorAnalysis(2, tol=1e-10, max_iter=5000, svd_method="lapack").fit(rows / unit)
    covariance = ours.get_covariance(torch.ones(1, 1))[0].detach().numpy()
    np.testing.assert_allclose(covariance / unit**2, theirs.get_covariance(), atol=1e-4)
    likelihood = theirs.score(rows / unit) - 6 * np.log(unit)
    assert float(ours.log_likelihood_) == pytest.approx(likelihood, abs=1e-6)
    assert ours.converged_
    assert float(ours.log_likelihood(returns).detach().mean()) == pytest.approx(float(ours.log_likelihood_), abs=1e-9)


def test_known_regimes_are_fitted_as_if_alone(fitted):
    returns, states = sample()
    for k in range(2):
        rows = returns[states == k].unsqueeze(0)
        alone = RegimeFactorModel(1, 6, 2).fit(rows, torch.ones(1, rows.shape[1], 1))
        torch.testing.assert_close(fitted.regime_covariances()[k], alone.regime_covariances()[0], atol=1e-8, rtol=1e-3)
        torch.testing.assert_close(fitted.means[k], rows[0].mean(0), check_dtype=False)


def test_fitting_beats_every_small_change(fitted):
    """The weighted log-likelihood has its maximum there: its gradient is nothing beside that of the start."""
    returns, states = sample()

    def steepness(model):
        loss = -(hot(states) * model.log_likelihood(returns)).sum() / states.numel()
        gradients = torch.autograd.grad(loss, [model.loadings, model.log_specific])
        return torch.stack([gradient.abs().max() for gradient in gradients])

    assert (steepness(fitted) < 1e-3 * steepness(RegimeFactorModel(2, 6, 2))).all()


def test_covariances_mix_with_what_means_differ_by(fitted):
    """The number of assets is remembered; certain regimes give their own covariance."""
    own = fitted.regime_covariances()
    torch.testing.assert_close(fitted.get_covariance(torch.eye(2, dtype=torch.float64)), own)
    half = torch.full((1, 2), 0.5, dtype=torch.float64)
    gap = (fitted.means[0] - fitted.means[1]) / 2
    torch.testing.assert_close(fitted.get_covariance(half)[0], own.mean(0) + torch.outer(gap, gap))
    sequence = fitted.get_covariance(half.expand(3, 5, 2))
    assert sequence.shape == (3, 5, 6, 6)
    torch.testing.assert_close(sequence[2, 4], mixture_covariance(half, fitted.means, own)[0])


@settings(deadline=None, derandomize=True, max_examples=25)
@given(share=st.floats(0, 1), seed=st.integers(0, 100), factors=st.integers(1, 5))
def test_covariances_are_positive_definite(share, seed, factors):
    model = RegimeFactorModel(2, 5, factors, random_state=seed)
    found = model.get_covariance(torch.tensor([[share, 1 - share]], dtype=torch.float64))
    assert torch.linalg.eigvalsh(found).min() > 0
    torch.testing.assert_close(found, found.mT)


def test_it_can_be_trained_by_gradients_and_saved(fitted):
    model = RegimeFactorModel(2, 6, 2)
    model(torch.full((1, 2), 0.5)).sum().backward()
    assert all(value.grad is not None for value in model.parameters())
    model.load_state_dict(fitted.state_dict())
    assert torch.equal(model.regime_covariances(), fitted.regime_covariances())


def test_what_cannot_be_fitted_is_named():
    returns, states = sample(time=20)
    model = RegimeFactorModel(2, 6, 2)
    with pytest.raises(InputError, match=r"K=2 regimes.*transpose\(1, 2\)"):
        model.get_covariance(torch.full((4, 3), 1 / 3))
    with pytest.raises(InputError, match=r"effective sample sizes \[40.0, nan\]"):
        model.fit(returns, hot(torch.zeros_like(states)))
    with pytest.raises(InputError, match="without gaps"):
        model.fit(torch.full_like(returns, torch.nan), hot(states))
    with pytest.raises(InputError, match="same return"):
        model.fit(torch.zeros_like(returns), hot(states))
    with pytest.raises(InputError, match="n_factors=7 is not between 1 and the number of assets, 6"):
        RegimeFactorModel(2, 6, 7)
