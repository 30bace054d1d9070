"""A prior of skfolio that expects the mixture of regimes to come, not the average of those that were."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import sklearn.utils.validation as skv
import torch
from jaxtyping import Float
from skfolio.moments import BaseCovariance, LedoitWolf
from skfolio.prior import BasePrior, ReturnDistribution
from sklearn.base import clone

from praesidium.component import InputError
from praesidium.regimes import hmm
from praesidium.regimes.covariance import estimate_regime_covariance, estimate_regime_mean, mixture_covariance
from praesidium.regimes.gaussian_hmm import GaussianHMM
from praesidium.regimes.model import RegimeModel


class RegimePrior(BasePrior):
    """Moments and scenarios of the regimes that are expected over the time of holding.

    Regimes are found in the mean return of the assets and filtered; the mixture expected is the average of
    p A, p A^2, .., p A^horizon, from the probabilities p of the last day. It weighs

    * the mean of each regime, drawn towards the mean of all days by ``mean_shrinkage``. A mean over some hundred days
      is mostly noise, and an optimizer bets on noise: by default nine tenths of what regimes differ by is dropped;
    * the covariance of each regime, drawn by ``covariance_shrinkage`` towards the covariance of all days, scaled to the
      mean variance of the regime: a rare regime keeps its level of risk but borrows the shape;
    * what the means differ by (law of total covariance);
    * each day as a scenario: its probabilities times the mixture, over the days that each regime has had. Measures of
      risk that work on scenarios, such as CVaR, see the same mixture.

    Only filtered probabilities are used, so that it may be fitted where a decision is made.

    Args:
        regime_model: cloned and fitted to the mean return of the assets; by default a Gaussian HMM of two regimes.
        horizon: days that the portfolio will be held.
        mean_shrinkage: in [0, 1]; 1 gives all regimes the same mean.
        covariance_shrinkage: in [0, 1]; 1 lets regimes differ in the level of risk alone.
        covariance_estimator: of the covariance of all days; by default :class:`skfolio.moments.LedoitWolf`.

    Attributes:
        return_distribution_: what optimizers read.
        regime_model_: the fitted model.
        probabilities_: filtered, (days, K).
        mixture_: expected over the horizon, (K).
        means_: of each regime after shrinkage, (K, assets), a day.
        covariances_: of each regime after shrinkage, (K, assets, assets), a day.
    """

    def __init__(
        self,
        regime_model: RegimeModel | None = None,
        *,
        horizon: int = 21,
        mean_shrinkage: float = 0.9,
        covariance_shrinkage: float = 0.5,
        covariance_estimator: BaseCovariance | None = None,
    ) -> None:
        self.regime_model = regime_model
        self.horizon = horizon
        self.mean_shrinkage = mean_shrinkage
        self.covariance_shrinkage = covariance_shrinkage
        self.covariance_estimator = covariance_estimator

    def fit(self, X: Any, y: None = None, **fit_params: Any) -> RegimePrior:
        """Fit to simple returns, (days, assets), the last row the present.

        Raises:
            InputError: if a shrinkage is no share or the horizon not positive.
            ValueError: if returns are missing.
        """
        for name, share in (("mean", self.mean_shrinkage), ("covariance", self.covariance_shrinkage)):
            if not 0 <= share <= 1:
                raise InputError(f"RegimePrior: {name}_shrinkage={share:g} is not a share in [0, 1]")
        returns = np.array(skv.validate_data(self, X, dtype=np.float64))
        model = GaussianHMM(n_regimes=2) if self.regime_model is None else clone(self.regime_model)
        market = returns.mean(axis=1)
        self.regime_model_ = cast(RegimeModel, model).fit(market)
        self.probabilities_ = np.asarray(self.regime_model_.filter(market))
        now, moves = (torch.from_numpy(one) for one in (self.probabilities_[-1], self.regime_model_.transition_))
        ahead = hmm.forecast(now, moves, steps=self.horizon).mean(0)
        self.mixture_ = (ahead / ahead.sum()).numpy()

        self._fit_moments(returns)
        mixture, means, covariances = (torch.from_numpy(one) for one in (self.mixture_, self.means_, self.covariances_))
        self.return_distribution_ = ReturnDistribution(
            mu=self.mixture_ @ self.means_,
            covariance=mixture_covariance(mixture, means, covariances).numpy(),
            returns=returns,
            sample_weight=self._scenario_weights(),
        )
        return self

    def _fit_moments(self, returns: Float[np.ndarray, "days assets"]) -> None:
        """Means and covariances of the regimes. One that was there for a day or less is taken to be like all days."""
        estimator = LedoitWolf() if self.covariance_estimator is None else clone(self.covariance_estimator)
        everyday = cast(BaseCovariance, estimator).fit(returns).covariance_
        data, seen = torch.from_numpy(returns), torch.from_numpy(self.probabilities_)
        means, own = estimate_regime_mean(data, seen).numpy(), estimate_regime_covariance(data, seen).numpy()
        met = np.isfinite(own[:, 0, 0])
        means = np.where(met[:, None], means, returns.mean(axis=0))
        own = np.where(met[:, None, None], own, everyday)
        level = np.trace(own, axis1=1, axis2=2) / np.trace(everyday)
        self.means_ = means + self.mean_shrinkage * (returns.mean(axis=0) - means)
        self.covariances_ = own + self.covariance_shrinkage * (level[:, None, None] * everyday - own)

    def _scenario_weights(self) -> Float[np.ndarray, " days"]:
        """Probability of each day: sum_k mixture_k p_tk / sum_s p_sk. A regime that never was weighs all days alike."""
        days = self.probabilities_.sum(axis=0)
        shares = np.divide(
            self.probabilities_,
            days,
            out=np.full(self.probabilities_.shape, 1 / len(self.probabilities_)),
            where=days > 0,
        )
        return shares @ self.mixture_
