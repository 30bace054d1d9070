"""Means and covariances of returns in each regime, and of the mixture of regimes that is expected."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError
from praesidium.regimes.belief import ROUNDING


def estimate_regime_covariance(
    returns: Float[Tensor, "*batch time assets"],
    probabilities: Float[Tensor, "*batch time regimes"],
    K: int | None = None,
    *,
    shrinkage: float | Literal["ledoit_wolf"] = 0.0,
) -> Float[Tensor, "*batch regimes assets assets"]:
    """Covariance of returns in each regime: sum_t w_t (r_t - m)(r_t - m)' / (1 - sum_t w_t^2), w_t = p_t / sum_s p_s.

    m is the mean with the same weights (:func:`estimate_regime_mean`). With equal probabilities, whatever their size,
    it is the usual unbiased covariance. A period with a missing return or probability (NaN) does not count. NaN for a
    regime that was there for one period or less (:func:`effective_sample_size`).

    All periods are used: give those that a decision may know.

    Args:
        returns: simple returns a period.
        probabilities: of the regimes in the same periods; smoothed ones for a training window.
        K: number of regimes, to be checked.
        shrinkage: share in [0, 1] that comes from the mean variance times the identity, or ``"ledoit_wolf"`` for the
            share that minimizes the expected squared error, by regime.

    Returns:
        Symmetric, positive semidefinite; in squared units of the returns a period.

    Raises:
        InputError: another number of regimes or periods, or a share outside [0, 1].

    Source: weights as in numpy.cov(aweights=...); Ledoit and Wolf 2004, "A well-conditioned estimator", lemma 3.2 to
    3.5, with weights in place of 1 / T.
    """
    caller = "estimate_regime_covariance"
    if not isinstance(shrinkage, str) and not 0 <= shrinkage <= 1:
        raise InputError(f"{caller}: shrinkage={shrinkage} is not a share in [0, 1]; 'ledoit_wolf' chooses it")
    values, weights = _weighted(caller, returns, probabilities, K)
    mean = weights @ values
    away = values.unsqueeze(-3) - mean.unsqueeze(-2)
    scatter = (weights.unsqueeze(-1) * away).mT @ away
    assets = returns.shape[-1]
    level = scatter.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None] * torch.eye(
        assets, dtype=scatter.dtype, device=scatter.device
    )
    if isinstance(shrinkage, str):
        share = _ledoit_wolf(away, weights, scatter, level)
    else:
        share = torch.tensor(shrinkage, dtype=scatter.dtype, device=scatter.device)
    shrunk = torch.lerp(scatter, level, share)
    left = 1 - weights.square().sum(-1)[..., None, None]
    return torch.where(left > 1e-12, shrunk / left, torch.nan)


def estimate_regime_mean(
    returns: Float[Tensor, "*batch time assets"],
    probabilities: Float[Tensor, "*batch time regimes"],
    K: int | None = None,
) -> Float[Tensor, "*batch regimes assets"]:
    """Mean return in each regime: sum_t p_t r_t / sum_t p_t. Missing periods as in :func:`estimate_regime_covariance`.

    NaN for a regime that was never there.
    """
    values, weights = _weighted("estimate_regime_mean", returns, probabilities, K)
    return weights @ values


def effective_sample_size(
    probabilities: Float[Tensor, "*batch time regimes"],
) -> Float[Tensor, "*batch regimes"]:
    """Periods of equal weight that say as much as the weighted ones: (sum_t p_t)^2 / sum_t p_t^2. Source: Kish 1965."""
    return probabilities.sum(-2).square() / probabilities.square().sum(-2)


def mixture_covariance(
    probabilities: Float[Tensor, "*#batch regimes"],
    means: Float[Tensor, "*#batch regimes assets"],
    covariances: Float[Tensor, "*#batch regimes assets assets"],
) -> Float[Tensor, "*batch assets assets"]:
    """Covariance when the regime is not known: sum_k p_k (C_k + m_k m_k') - m m' with m = sum_k p_k m_k.

    The law of total covariance: what regimes have within them, and what their means differ by. A regime of probability
    exactly zero does not count, even if its moments are missing.

    Args:
        probabilities: of the regimes, rows that sum to one, now or forecast.
        means: of each regime.
        covariances: of each regime.

    Raises:
        InputError: probabilities that do not sum to one.
    """
    if bool(((probabilities.sum(-1) - 1).abs() > ROUNDING).any()):
        raise InputError(
            f"mixture_covariance: probabilities of shape {tuple(probabilities.shape)} do not sum to one over the last "
            "axis, which holds the regimes"
        )
    here = probabilities.unsqueeze(-1) > 0
    means = torch.where(here, means, 0.0)
    within = torch.where(here.unsqueeze(-1), covariances, 0.0)
    share = probabilities[..., None]
    away = means - (share * means).sum(-2, keepdim=True)
    between = (share * away).mT @ away
    return (share.unsqueeze(-1) * within).sum(-3) + between


def _weighted(
    caller: str, returns: Tensor, probabilities: Tensor, K: int | None
) -> tuple[Float[Tensor, "*batch time assets"], Float[Tensor, "*batch regimes time"]]:
    """Returns with zeros for what is missing, and the weight of each period in each regime; weights sum to one."""
    shape = tuple(probabilities.shape)
    if (K is not None and shape[-1] != K) or shape[:-1] != tuple(returns.shape[:-1]):
        regimes = "regimes" if K is None else f"regimes={K}"
        raise InputError(
            f"{caller}: probabilities have shape {shape} and returns {tuple(returns.shape)}; wanted are (batch, time, "
            f"{regimes}) and (batch, time, assets) of the same periods: transpose (batch, regimes, time) first"
        )
    missing = returns.isnan().any(-1, keepdim=True) | probabilities.isnan().any(-1, keepdim=True)
    values = torch.where(missing, 0.0, returns)
    weights = torch.where(missing, 0.0, probabilities.to(returns.dtype)).mT
    return values, weights / weights.sum(-1, keepdim=True)


def _ledoit_wolf(away: Tensor, weights: Tensor, scatter: Tensor, level: Tensor) -> Tensor:
    """Share b^2 / d^2 of the identity: sampling error of the scatter against its distance from the identity."""
    distance = (scatter - level).square().sum((-2, -1))
    # |x x' - S|^2 = |x|^4 - 2 x' S x + |S|^2, and the weighted mean of x x' is S.
    fourth = (weights.square() * away.square().sum(-1).square()).sum(-1)
    cross = (weights.square().unsqueeze(-1) * away * (away @ scatter)).sum((-2, -1))
    error = fourth - 2 * cross + weights.square().sum(-1) * scatter.square().sum((-2, -1))
    far = distance.clamp(min=torch.finfo(distance.dtype).tiny)
    return torch.where(distance > 0, torch.minimum(error, distance) / far, 1.0)[..., None, None]
