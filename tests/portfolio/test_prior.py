"""The prior of regimes: its moments, its scenarios, and its place among skfolio's estimators."""

import numpy as np
import pandas as pd
import pytest
import torch
from skfolio import RiskMeasure
from skfolio.model_selection import WalkForward, cross_val_predict
from skfolio.moments import EmpiricalCovariance, LedoitWolf
from skfolio.optimization import HierarchicalRiskParity, InverseVolatility, MeanRisk, RiskBudgeting
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from praesidium.component import InputError
from praesidium.portfolio.prior import RegimePrior
from praesidium.regimes.causality import deciding
from praesidium.regimes.gaussian_hmm import GaussianHMM
from praesidium.training.reproducibility import stream

ASSETS = ["a", "b", "c", "d"]


def returns(days=400, wild_end=False):
    """Calm and wild stretches of fifty days; the first asset suffers most in the wild ones."""
    draws = np.random.default_rng(stream("tests", "prior").initial_seed())
    wild = (np.arange(days) // 50 % 2 == 1)[:, None]
    common = draws.normal(size=(days, 1))
    sizes = np.where(wild, [0.03, 0.018, 0.02, 0.02], [0.006, 0.008, 0.008, 0.01])
    made = sizes * (0.4 * common + 0.9 * draws.normal(size=(days, 4)))
    dates = pd.bdate_range("2010-01-01", periods=days)
    return pd.DataFrame(made, dates, ASSETS).iloc[: days if wild_end else days - 50]


CALM, WILD = returns(), returns(wild_end=True)
PLAIN = RegimePrior(mean_shrinkage=0, covariance_shrinkage=0).fit(WILD)
DEFAULT = RegimePrior().fit(WILD)


def test_the_mixture_is_the_mean_of_the_forecasts_of_the_last_day():
    model = GaussianHMM(n_regimes=2).fit(WILD.mean(axis=1))
    expected = np.mean([model.forecast(WILD.mean(axis=1), steps=step).iloc[-1] for step in range(1, 22)], axis=0)
    np.testing.assert_allclose(DEFAULT.mixture_, expected, rtol=1e-9)
    np.testing.assert_allclose(DEFAULT.probabilities_, model.filter(WILD.mean(axis=1)))
    far = RegimePrior(horizon=4000).fit(WILD)
    assert abs(far.mixture_[1] - 0.5) < 0.1 < abs(DEFAULT.mixture_[1] - 0.5)


def test_without_shrinkage_scenarios_and_moments_are_one_distribution():
    found = PLAIN.return_distribution_
    np.testing.assert_allclose(found.sample_weight @ WILD.to_numpy(), found.mu, atol=1e-15)
    away = WILD.to_numpy() - found.mu
    shares = PLAIN.probabilities_ / PLAIN.probabilities_.sum(axis=0)
    left = 1 - np.square(shares).sum(axis=0)  # covariances of regimes are unbiased, scenarios are as they are
    within = np.tensordot(PLAIN.mixture_ * left, PLAIN.covariances_, axes=1)
    spread = PLAIN.means_ - found.mu
    between = (PLAIN.mixture_[:, None] * spread).T @ spread
    np.testing.assert_allclose((found.sample_weight[:, None] * away).T @ away, within + between, rtol=1e-9)
    np.testing.assert_allclose(
        found.covariance, np.tensordot(PLAIN.mixture_, PLAIN.covariances_, axes=1) + between, rtol=1e-9
    )


def test_shrinkage_goes_from_the_regimes_to_all_days():
    whole = RegimePrior(mean_shrinkage=1, covariance_shrinkage=1).fit(WILD)
    np.testing.assert_allclose(whole.return_distribution_.mu, WILD.mean())
    np.testing.assert_allclose(whole.means_, np.tile(WILD.mean(), (2, 1)))
    everyday = LedoitWolf().fit(WILD).covariance_
    for regime in range(2):
        ratio = whole.covariances_[regime] / everyday
        np.testing.assert_allclose(ratio, np.full((4, 4), ratio[0, 0]))
        assert np.trace(whole.covariances_[regime]) == pytest.approx(np.trace(PLAIN.covariances_[regime]))
    half = (PLAIN.covariances_ + whole.covariances_) / 2
    np.testing.assert_allclose(DEFAULT.covariances_, half)
    np.testing.assert_allclose(DEFAULT.means_, 0.1 * PLAIN.means_ + 0.9 * whole.means_)
    other = RegimePrior(covariance_shrinkage=1, covariance_estimator=EmpiricalCovariance()).fit(WILD)
    assert not np.allclose(other.covariances_, whole.covariances_)


def test_the_present_regime_sets_the_risk_that_is_expected():
    calm = RegimePrior().fit(CALM)
    assert calm.mixture_[0] > 0.6 > 0.4 > DEFAULT.mixture_[0]
    expected = {
        name: np.trace(one.return_distribution_.covariance) for name, one in {"calm": calm, "wild": DEFAULT}.items()
    }
    assert expected["calm"] < np.trace(CALM.cov()) < expected["wild"]
    stretch = np.arange(len(WILD)) // 50 % 2 == 1
    assert DEFAULT.return_distribution_.sample_weight[stretch].sum() > 0.6
    weights = {
        name: InverseVolatility(prior_estimator=RegimePrior()).fit(one).weights_
        for name, one in {"calm": CALM, "wild": WILD}.items()
    }
    assert weights["calm"][0] > weights["wild"][0]


@pytest.mark.parametrize(
    "optimizer",
    [
        MeanRisk(risk_measure=RiskMeasure.VARIANCE, prior_estimator=RegimePrior()),
        MeanRisk(risk_measure=RiskMeasure.CVAR, prior_estimator=RegimePrior()),
        RiskBudgeting(prior_estimator=RegimePrior()),
        HierarchicalRiskParity(prior_estimator=RegimePrior()),
    ],
    ids=["variance", "cvar", "risk budgeting", "hrp"],
)
def test_it_serves_the_optimizers_of_skfolio(optimizer):
    with deciding():
        told = clone(optimizer).fit(WILD).weights_
    plain = clone(optimizer).set_params(prior_estimator=None).fit(WILD).weights_
    assert told.sum() == pytest.approx(1)
    assert np.abs(told - plain).max() > 1e-3
    assert told[0] < plain[0]  # the first asset suffers most in the regime that is expected


def test_cvar_of_the_optimizer_is_that_of_the_weighted_scenarios():
    """No portfolio nearby has a lower CVaR over the days weighted by the prior."""
    weights = MeanRisk(risk_measure=RiskMeasure.CVAR, prior_estimator=RegimePrior()).fit(WILD).weights_
    scenarios = DEFAULT.return_distribution_

    def tail(held):
        losses = -scenarios.returns @ held
        order = np.argsort(-losses)
        mass = np.minimum(scenarios.sample_weight[order].cumsum(), 0.05)
        return np.diff(mass, prepend=0) @ losses[order] / 0.05

    draws = np.random.default_rng(stream("tests", "nearby").initial_seed())
    others = weights + 0.05 * (draws.dirichlet(np.ones(4), 200) - weights)
    assert tail(weights) <= min(tail(one) for one in others) + 1e-7


def test_it_walks_forward_in_a_pipeline():
    pipeline = make_pipeline(
        FunctionTransformer().set_output(transform="pandas"), MeanRisk(prior_estimator=RegimePrior())
    )
    walked = cross_val_predict(pipeline, WILD, cv=WalkForward(train_size=200, test_size=100))
    assert len(walked.returns) == 200
    assert np.isfinite(walked.returns).all()
    pipeline.set_params(meanrisk__prior_estimator__regime_model=GaussianHMM(n_regimes=3)).fit(WILD)
    assert pipeline["meanrisk"].prior_estimator_.mixture_.shape == (3,)


def test_fitting_leaves_settings_and_data_alone():
    model, data = GaussianHMM(n_regimes=2), WILD.copy()
    prior = RegimePrior(model)
    prior.fit(data)
    assert not hasattr(model, "transition_")
    assert data.equals(WILD)
    assert prior.get_params()["regime_model"] is model
    assert list(prior.feature_names_in_) == ASSETS
    again = clone(prior).fit(WILD).return_distribution_
    assert np.array_equal(again.covariance, prior.return_distribution_.covariance)


class OneSided(GaussianHMM):
    """Never believes in its second regime."""

    def _filter(self, observed, inputs):
        return torch.eye(2, dtype=torch.float64)[torch.zeros(observed.values.shape[:2], dtype=torch.int64)]


def test_a_regime_that_never_was_is_taken_to_be_like_all_days():
    found = RegimePrior(OneSided(n_regimes=2), mean_shrinkage=0, covariance_shrinkage=0).fit(WILD)
    np.testing.assert_allclose(found.means_[1], WILD.mean())
    np.testing.assert_allclose(found.covariances_[1], LedoitWolf().fit(WILD).covariance_)
    assert found.mixture_[1] > 0
    np.testing.assert_allclose(found.return_distribution_.sample_weight, np.full(len(WILD), 1 / len(WILD)))


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="mean_shrinkage=90 is not a share"):
        RegimePrior(mean_shrinkage=90).fit(WILD)
    with pytest.raises(InputError, match="covariance_shrinkage=-1 is not a share"):
        RegimePrior(covariance_shrinkage=-1).fit(WILD)
    with pytest.raises(InputError, match="steps=0"):
        RegimePrior(horizon=0).fit(WILD)
    holed = WILD.copy()
    holed.iloc[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        RegimePrior().fit(holed)
