"""Covariances by regime against NumPy and scikit-learn, and the law of total covariance."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import LedoitWolf

from praesidium.component import InputError
from praesidium.regimes.covariance import (
    effective_sample_size,
    estimate_regime_covariance,
    estimate_regime_mean,
    mixture_covariance,
)
from praesidium.training.reproducibility import stream

LAW = settings(deadline=None, derandomize=True, max_examples=30)


def sample(batch=2, time=60, assets=4, K=3, purpose="returns"):
    draws = stream("tests", purpose)
    mix = torch.randn(assets, assets, dtype=torch.float64, generator=draws)
    returns = 0.01 * torch.randn(batch, time, assets, dtype=torch.float64, generator=draws) @ mix + 0.002
    return returns, (2 * torch.randn(batch, time, K, dtype=torch.float64, generator=draws)).softmax(-1)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.25])
def test_equal_probabilities_give_the_plain_covariance(share):
    """Not a quarter of it for one half, nor a sixteenth for one quarter."""
    returns, _ = sample(batch=1)
    found = estimate_regime_covariance(returns, torch.full((1, 60, 2), share), 2)
    torch.testing.assert_close(found[0, 0], returns[0].T.cov())
    torch.testing.assert_close(found[0, 1], returns[0].T.cov())


def test_weights_count_as_in_numpy():
    returns, probabilities = sample()
    found = estimate_regime_covariance(returns, probabilities, 3)
    means = estimate_regime_mean(returns, probabilities, 3)
    assert found.shape == (2, 3, 4, 4)
    for b in range(2):
        for k in range(3):
            weights = probabilities[b, :, k].numpy()
            np.testing.assert_allclose(found[b, k], np.cov(returns[b].T.numpy(), aweights=weights), rtol=1e-9)
            np.testing.assert_allclose(means[b, k], np.average(returns[b].numpy(), axis=0, weights=weights), rtol=1e-9)
    torch.testing.assert_close(estimate_regime_covariance(returns[0], probabilities[0]), found[0])


def test_known_regimes_are_those_periods_alone():
    returns, probabilities = sample(batch=1)
    states = probabilities.argmax(-1)
    found = estimate_regime_covariance(returns, torch.nn.functional.one_hot(states, 3).double())
    for k in range(3):
        torch.testing.assert_close(found[0, k], returns[states == k].T.cov())


def test_missing_returns_do_not_count():
    returns, probabilities = sample(batch=1)
    gaps = returns.clone()
    gaps[0, 10, 2] = gaps[0, 40] = torch.nan
    kept = [t for t in range(60) if t not in (10, 40)]
    found = estimate_regime_covariance(gaps, probabilities)
    torch.testing.assert_close(found, estimate_regime_covariance(returns[:, kept], probabilities[:, kept]))


def test_a_regime_that_was_hardly_there_is_missing():
    returns, _ = sample(batch=1)
    once = torch.zeros(1, 60, 3)
    once[..., 0], once[0, 5] = 1, torch.tensor([0.0, 1.0, 0.0])
    found = estimate_regime_covariance(returns, once)
    assert found[0, 1:].isnan().all()
    assert not found[0, 0].isnan().any()
    assert effective_sample_size(once)[0, :2].tolist() == [59, 1]
    weights = torch.tensor([[1 / 3, 0.0, 2 / 3]], dtype=torch.float64)  # what cannot be needs no moments
    spread = estimate_regime_covariance(returns, once)
    spread[0, 2] = 0
    assert not mixture_covariance(weights, torch.zeros(1, 3, 4, dtype=torch.float64), spread).isnan().any()


def test_shrinkage_by_ledoit_and_wolf_is_that_of_scikit_learn():
    returns, _ = sample(batch=1, time=40, assets=8)
    equal = torch.full((1, 40, 2), 0.5)
    found = estimate_regime_covariance(returns, equal, shrinkage="ledoit_wolf")
    theirs = LedoitWolf().fit(returns[0].numpy()).covariance_  # divides by T
    np.testing.assert_allclose(found[0, 1] * 39 / 40, theirs, rtol=1e-9)


@LAW
@given(share=st.floats(0, 1), seed=st.integers(0, 1000))
def test_shrinkage_keeps_the_mean_variance_and_lifts_the_least(share, seed):
    returns, probabilities = sample(batch=1, time=6, assets=8, purpose=f"shrink {seed}")
    plain, shrunk = (estimate_regime_covariance(returns, probabilities, shrinkage=s) for s in (0.0, share))
    trace = plain.diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(shrunk.diagonal(dim1=-2, dim2=-1).sum(-1), trace)
    torch.testing.assert_close(shrunk, shrunk.mT)
    lowest = torch.linalg.eigvalsh(shrunk)[..., 0]
    assert (lowest >= share * trace / 8 - 1e-9 * trace).all()


@LAW
@given(seed=st.integers(0, 1000))
def test_the_law_of_total_covariance(seed):
    """Covariance within regimes and between their means add up to the covariance of all, for soft regimes too."""
    returns, probabilities = sample(batch=1, purpose=f"total {seed}")
    weights = probabilities / probabilities.sum(1, keepdim=True)
    biased = (1 - weights.square().sum(1))[..., None, None]  # from the unbiased estimate to the mean of squares
    within = estimate_regime_covariance(returns, probabilities) * biased
    total = mixture_covariance(probabilities.mean(1), estimate_regime_mean(returns, probabilities), within)
    torch.testing.assert_close(total[0], returns[0].T.cov(correction=0))


def test_means_that_differ_are_risk():
    means = torch.tensor([[0.01, 0.0], [-0.01, 0.0]], dtype=torch.float64)
    none = torch.zeros(2, 2, 2, dtype=torch.float64)
    found = mixture_covariance(torch.tensor([[0.5, 0.5], [1.0, 0.0]], dtype=torch.float64), means, none)
    assert found[0, 0, 0] == pytest.approx(1e-4)
    assert found.abs().sum() == pytest.approx(1e-4)


def test_what_does_not_fit_is_named():
    returns, probabilities = sample()
    with pytest.raises(InputError, match=r"wanted are \(batch, time, regimes=4\)"):
        estimate_regime_covariance(returns, probabilities, 4)
    with pytest.raises(InputError, match=r"shrinkage=1.5 is not a share in \[0, 1\]"):
        estimate_regime_covariance(returns, probabilities, shrinkage=1.5)
    with pytest.raises(InputError, match="do not sum to one"):
        mixture_covariance(torch.ones(1, 3), torch.zeros(3, 4), torch.zeros(3, 4, 4))
