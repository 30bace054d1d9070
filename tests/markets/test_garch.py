"""GJR-GARCH: agrees with arch, finds what simulated data were made with, and looks at no future."""

from dataclasses import astuple

import numpy as np
import pytest
import torch
from arch import arch_model
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.markets import garch
from praesidium.markets.garch import GJR, fit_gjr, log_likelihood

TRUTH = GJR(omega=2.5e-6, alpha=0.03, gamma=0.12, beta=0.88, nu=7.0, mean=0.0002)


def simulated(days, seed, model=TRUTH):
    rng = np.random.default_rng(seed)
    shocks = rng.standard_t(model.nu, days) * np.sqrt((model.nu - 2) / model.nu)
    returns, variance = np.empty(days), model.variance
    for day, z in enumerate(shocks):
        returns[day] = model.mean + np.sqrt(variance) * z
        variance = model.omega + (model.alpha + model.gamma * (z < 0)) * variance * z * z + model.beta * variance
    return returns


RETURNS = simulated(3000, seed=1)


def test_likelihood_is_that_of_arch_at_its_own_parameters():
    shocks = 100 * (RETURNS - RETURNS.mean())
    early = float(np.mean(shocks[:20] ** 2))
    fit = arch_model(shocks, mean="Zero", vol="GARCH", p=1, o=1, q=1, dist="t", rescale=False).fit(
        disp="off", backcast=early
    )
    omega, alpha, gamma, beta, nu = fit.params
    theirs = GJR(omega / 1e4, alpha, gamma, beta, nu, RETURNS.mean())
    assert log_likelihood(theirs, [RETURNS]) == pytest.approx(fit.loglikelihood, abs=1e-6)
    ours = fit_gjr([RETURNS])
    # Variance targeting takes one parameter out of the hands of the likelihood: never better than arch, hardly worse.
    gap = fit.loglikelihood - log_likelihood(ours, [RETURNS])
    assert -1e-2 < gap < 1.5
    variance = ours.filter(RETURNS, ours.omega + ours.persistence * early / 1e4)[:-1]
    assert np.corrcoef(variance, fit.conditional_volatility**2)[0, 1] > 0.995


def test_targeted_fit_is_the_best_of_its_kind():
    fit = fit_gjr([RETURNS])
    assert fit.variance == pytest.approx(RETURNS.var(), rel=1e-9)
    best = log_likelihood(fit, [RETURNS])
    for step in (0.99, 1.01):
        for place in range(3):
            alpha, gamma, beta, nu = astuple(fit)[1:5]
            near = [alpha, gamma, beta]
            near[place] *= step
            omega = RETURNS.var() * (1 - near[0] - near[1] / 2 - near[2])
            assert log_likelihood(GJR(omega, *near, nu, fit.mean), [RETURNS]) <= best + 1e-3


def test_finds_what_the_data_were_made_with():
    fit = fit_gjr([simulated(3000, seed) for seed in (11, 12, 13)])
    assert fit.persistence == pytest.approx(TRUTH.persistence, abs=0.015)
    assert fit.gamma == pytest.approx(TRUTH.gamma, abs=0.04)
    assert fit.beta == pytest.approx(TRUTH.beta, abs=0.03)
    assert fit.nu == pytest.approx(TRUTH.nu, rel=0.25)
    assert fit.variance == pytest.approx(TRUTH.variance, rel=0.25)


def test_segments_do_not_know_each_other():
    parts = [RETURNS[:900], RETURNS[900:1300], RETURNS[1300:]]
    total = log_likelihood(TRUTH, parts)
    assert total == pytest.approx(sum(log_likelihood(TRUTH, [part]) for part in parts), abs=1e-9)
    assert log_likelihood(TRUTH, parts[::-1]) == pytest.approx(total, abs=1e-9)
    residuals = TRUTH.standardize(parts)
    assert np.array_equal(residuals[900:1300], TRUTH.standardize([parts[1]]))
    assert residuals.std() == pytest.approx(1, abs=0.05)


@settings(deadline=None, derandomize=True)
@given(now=st.integers(0, 200), seed=st.integers(0, 1000))
def test_the_future_cannot_move_the_variance(now, seed):
    returns = RETURNS[:200]
    other = returns.copy()
    other[now:] = np.random.default_rng(seed).normal(0, 0.1, 200 - now)
    before, after = TRUTH.filter(returns, 1e-4), TRUTH.filter(other, 1e-4)
    assert len(before) == 201
    assert before[: now + 1].tobytes() == after[: now + 1].tobytes()


@settings(deadline=None, derandomize=True)
@given(days=st.integers(1, 250), ratio=st.floats(0.1, 20))
def test_expected_variance_is_the_mean_of_the_recursion(days, ratio):
    variance = ratio * TRUTH.variance
    expected, following = [], variance
    for _ in range(days):
        expected.append(following)
        following = TRUTH.omega + TRUTH.persistence * following
    closed = TRUTH.expected_variance(torch.tensor(variance, dtype=torch.float64), days)
    assert closed.item() == pytest.approx(252 * np.mean(expected), rel=1e-9)


def test_implied_volatility_is_finite_at_maturity_and_within_its_bounds():
    variance = torch.tensor([1e-8, 1e-4, 1.0], dtype=torch.float64)
    left = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    implied = TRUTH.implied(variance, left, multiplier=1.0, clip=(0.08, 1.2))
    assert implied[0, 0] == 0.08
    assert implied[0, 1].item() == pytest.approx(np.sqrt(252 * 1e-4))
    assert implied[0, 2] == 1.2
    assert torch.equal(implied[0], implied[1])


@pytest.mark.parametrize(
    ("segments", "sentence"),
    [
        ([], "0 returns, but a fit needs 250"),
        ([RETURNS[:100], RETURNS[:149]], "249 returns"),
        ([np.zeros(300)], "constant"),
        ([np.full(300, np.nan)], "not finite"),
    ],
)
def test_returns_that_cannot_be_fitted_are_refused(segments, sentence):
    with pytest.raises(InputError, match=sentence):
        fit_gjr(segments)


def test_a_fit_that_does_not_converge_is_refused(monkeypatch):
    real = garch.minimize

    def stopped(*args, **kwargs):
        return real(*args, **{**kwargs, "options": {"maxiter": 1}})

    monkeypatch.setattr(garch, "minimize", stopped)
    with pytest.raises(InputError, match="no convergence on 3000 returns"):
        fit_gjr([RETURNS])
