"""A few factors behind the covariance of many assets, regime by regime."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from praesidium.component import InputError
from praesidium.regimes.belief import check_probabilities
from praesidium.regimes.covariance import effective_sample_size, mixture_covariance
from praesidium.training.reproducibility import stream

DAILY = 0.01  # volatility a day of an asset before fitting
LEAST_SPECIFIC = 1e-6  # least share of an asset's variance that is its own
SWEEPS, SETTLED = 5000, 1e-12  # most sweeps; change of the log-likelihood a period at which they end


class RegimeFactorModel(nn.Module):
    """Factor model of returns in each regime: r given k is normal with mean m_k and covariance F_k F_k' + D_k.

    F_k are loadings on ``n_factors`` uncorrelated factors of variance one, D_k is diagonal and positive. All regimes
    are fitted at once. Double precision.

    Args:
        K: number of regimes.
        n_assets: number of assets.
        n_factors: number of factors, at most the number of assets.
        random_state: seed of the loadings before :meth:`fit`.

    Attributes:
        means: m_k.
        loadings: F_k.
        log_specific: log of the diagonal of D_k.
        log_likelihood_: weighted mean log-density a period of each regime after :meth:`fit`, in nats.
        converged_: whether the log-likelihood had settled when :meth:`fit` ended.
    """

    log_likelihood_: Float[Tensor, " regimes"]
    converged_: bool

    def __init__(self, K: int, n_assets: int, n_factors: int, *, random_state: int = 0) -> None:
        super().__init__()
        if not 1 <= n_factors <= n_assets:
            raise InputError(
                f"RegimeFactorModel: n_factors={n_factors} is not between 1 and the number of assets, {n_assets}"
            )
        self.K, self.n_assets, self.n_factors = K, n_assets, n_factors
        loadings = torch.empty(K, n_assets, n_factors, dtype=torch.float64)
        loadings.normal_(0, DAILY, generator=stream(random_state, "init", "factors"))
        self.means = nn.Parameter(torch.zeros(K, n_assets, dtype=torch.float64))
        self.loadings = nn.Parameter(loadings)
        self.log_specific = nn.Parameter(torch.full((K, n_assets), 2 * math.log(DAILY), dtype=torch.float64))

    def forward(self, probabilities: Float[Tensor, "*batch regimes"]) -> Float[Tensor, "*batch assets assets"]:
        """As :meth:`get_covariance`."""
        return self.get_covariance(probabilities)

    def get_covariance(self, probabilities: Float[Tensor, "*batch regimes"]) -> Float[Tensor, "*batch assets assets"]:
        """Covariance of next period's returns given regime probabilities, with what the means of regimes differ by.

        sum_k p_k (F_k F_k' + D_k + m_k m_k') - m m': symmetric and positive definite, in squared units of the returns.

        Args:
            probabilities: (batch, K), or (batch, time, K) for a covariance each period.

        Raises:
            InputError: another number of regimes in the last axis, or rows that do not sum to one.
        """
        if probabilities.shape[-1] != self.K:
            raise InputError(
                f"RegimeFactorModel: probabilities have shape {tuple(probabilities.shape)}; the last axis must hold "
                f"K={self.K} regimes; VAE_HMM gives (batch, regimes, time): transpose(1, 2), or use model.filter"
            )
        return mixture_covariance(probabilities.to(self.means.dtype), self.means, self.regime_covariances())

    def regime_covariances(self) -> Float[Tensor, "regimes assets assets"]:
        """F_k F_k' + D_k."""
        return self.loadings @ self.loadings.mT + torch.diag_embed(self.log_specific.exp())

    def log_likelihood(self, returns: Float[Tensor, "*batch assets"]) -> Float[Tensor, "*batch regimes"]:
        """Log-density of returns in each regime, in nats."""
        away = returns.to(self.means.dtype).unsqueeze(-2) - self.means
        factor = torch.linalg.cholesky(self.regime_covariances())
        white = torch.linalg.solve_triangular(factor, away.unsqueeze(-1), upper=False).squeeze(-1)
        scale = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -0.5 * white.square().sum(-1) - scale - 0.5 * self.n_assets * math.log(2 * math.pi)

    @torch.no_grad()
    def fit(
        self, returns: Float[Tensor, "batch time assets"], probabilities: Float[Tensor, "batch time regimes"]
    ) -> RegimeFactorModel:
        """Maximize each regime's log-likelihood, every period weighted by the probability of the regime.

        Given D the best loadings are known in closed form from the eigenvectors of D^-1/2 S D^-1/2; D is then what
        they leave of the variances, and so on until the likelihood settles.

        Args:
            returns: of a training window, without gaps.
            probabilities: of the regimes in the same periods, filtered or smoothed.

        Raises:
            InputError: shapes that do not fit, NaN, an asset that does not move, or a regime with an effective sample
                of no more periods than there are factors.

        Source: Lawley and Maxwell 1971, chapter 4; Bishop 2006, section 12.2.4.
        """
        check_probabilities("RegimeFactorModel.fit", probabilities, self.K)
        if tuple(returns.shape) != (*probabilities.shape[:2], self.n_assets) or bool(returns.isnan().any()):
            raise InputError(
                f"RegimeFactorModel.fit: returns of shape {tuple(returns.shape)} are not (batch, time, assets="
                f"{self.n_assets}) without gaps for the periods of probabilities {tuple(probabilities.shape)}"
            )
        weights = probabilities.to(self.means.dtype).flatten(0, 1)
        size = effective_sample_size(weights)
        if bool((size <= self.n_factors + 1).any()) or bool(size.isnan().any()):
            raise InputError(
                f"RegimeFactorModel.fit: effective sample sizes {[round(n, 1) for n in size.tolist()]} by regime; more "
                f"than n_factors + 1 = {self.n_factors + 1} periods are needed in each: give more, or fewer regimes"
            )
        values = returns.to(self.means.dtype).flatten(0, 1)
        weights = (weights / weights.sum(0)).T
        means = weights @ values
        away = values - means.unsqueeze(-2)
        scatter = (weights.unsqueeze(-1) * away).mT @ away
        if bool((scatter.diagonal(dim1=-2, dim2=-1) <= 0).any()):
            raise InputError("RegimeFactorModel.fit: an asset has the same return throughout a regime; leave it out")
        loadings, specific, likelihood, self.converged_ = _factored(scatter, self.n_factors)
        self.means.copy_(means)
        self.loadings.copy_(loadings)
        self.log_specific.copy_(specific.log())
        self.log_likelihood_ = likelihood
        return self


def _factored(
    scatter: Float[Tensor, "regimes assets assets"], factors: int
) -> tuple[Float[Tensor, "regimes assets factors"], Float[Tensor, "regimes assets"], Float[Tensor, " regimes"], bool]:
    """Loadings, specific variances and log-likelihood a period that fit each scatter best; whether they settled."""
    variance = scatter.diagonal(dim1=-2, dim2=-1)
    loadings, likelihood = _loadings(scatter, variance, factors)
    specific = variance
    for _ in range(SWEEPS):
        before = likelihood
        specific = torch.maximum(variance - loadings.square().sum(-1), LEAST_SPECIFIC * variance)
        loadings, likelihood = _loadings(scatter, specific, factors)
        if bool((likelihood - before < SETTLED).all()):
            return loadings, specific, likelihood, True
    return loadings, specific, likelihood, False


def _loadings(
    scatter: Float[Tensor, "regimes assets assets"], specific: Float[Tensor, "regimes assets"], factors: int
) -> tuple[Float[Tensor, "regimes assets factors"], Float[Tensor, " regimes"]]:
    """The best loadings for these specific variances, and the log-likelihood a period with them."""
    root = specific.sqrt()
    values, vectors = torch.linalg.eigh(scatter / (root.unsqueeze(-1) * root.unsqueeze(-2)))
    rest, large = values[:, :-factors].sum(-1), values[:, -factors:]
    common = large.clamp(min=1)
    loadings = root.unsqueeze(-1) * vectors[:, :, -factors:] * (common - 1).sqrt().unsqueeze(-2)
    trace = rest + (large / common).sum(-1)
    determinant = specific.log().sum(-1) + common.log().sum(-1)
    return loadings, -0.5 * (scatter.shape[-1] * math.log(2 * math.pi) + determinant + trace)
