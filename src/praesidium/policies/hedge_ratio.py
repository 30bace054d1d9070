"""The hedge ratio of least variance when the regime is not known for certain."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError
from praesidium.policies.hedger import check_returns


def minimum_variance_hedge_ratio(
    spot_returns: Float[Tensor, "*batch time assets"],
    futures_returns: Float[Tensor, "*batch time assets"],
    regime_probs: Float[Tensor, "*batch periods regimes"],
    *,
    belief: Float[Tensor, "*batch regimes"] | None = None,
) -> Float[Tensor, "*batch assets"]:
    """h = -Cov(spot, futures) / Var(futures) under the mixture of regimes: Var(spot + h futures) is least.

    Means m_k and covariances C_k of each regime are those of the periods weighted by its probability. Mixed by w they
    are C = sum_k w_k (C_k + (m_k - m)(m_k - m)'), m = sum_k w_k m_k: by the law of total covariance, with what regimes
    differ in mean. For w the mean probabilities of the window it is the ratio of the window, whatever the regimes.

    Args:
        spot_returns, futures_returns: of the same periods.
        regime_probs: filtered probabilities of the regime of each of these periods.
        belief: w, probabilities of the regime of the period to be hedged, such as p A; the last of ``regime_probs``
            where left out. A regime that the window has never seen has the moments of all periods.

    Returns:
        Money to hold in each future for each unit of money in the spot; negative for legs that move together.

    Raises:
        InputError: if shapes do not fit, probabilities do not sum to one, a return is not finite, or a future never
            moves.

    Source: Johnson 1960 and Ederington 1979 for one regime; Alizadeh and Nomikos 2004 for ratios by regime.
    """
    from praesidium.regimes.belief import check_probabilities  # noqa: PLC0415  (importing scikit-learn takes time)

    name, K = "minimum_variance_hedge_ratio", regime_probs.shape[-1]
    if spot_returns.shape != futures_returns.shape or spot_returns.shape[:-1] != regime_probs.shape[:-1]:
        raise InputError(
            f"{name}: shapes {tuple(spot_returns.shape)}, {tuple(futures_returns.shape)} and "
            f"{tuple(regime_probs.shape)} do not fit; give returns (batch, time, assets) of the same periods as the "
            "regimes (batch, time, regimes)"
        )
    check_returns(name, "spot_returns", spot_returns)
    check_returns(name, "futures_returns", futures_returns)
    check_probabilities(name, regime_probs.reshape(-1, *regime_probs.shape[-2:]), K)
    weights = (regime_probs[..., -1, :] if belief is None else belief).to(spot_returns)
    check_probabilities(name, weights.reshape(-1, 1, weights.shape[-1]), K)
    shares = regime_probs.to(spot_returns).transpose(-1, -2)
    mass = shares.sum(-1, keepdim=True)
    shares = torch.where(mass > 0, shares / torch.where(mass > 0, mass, 1), 1 / shares.shape[-1])
    spot, futures = (one - one.mean(-2, keepdim=True) for one in (spot_returns, futures_returns))

    def mixed(values: Tensor) -> Tensor:
        """Mean of (time, assets) values under the mixture."""
        return (weights.unsqueeze(-2) @ (shares @ values)).squeeze(-2)

    covariance = mixed(spot * futures) - mixed(spot) * mixed(futures)
    variance = mixed(futures.square()) - mixed(futures).square()
    if bool((variance <= (1e-6 * futures_returns.abs().amax(-2)) ** 2).any()):
        raise InputError(f"{name}: a future does not move in the regimes that count; leave it out or give more periods")
    return -covariance / variance
