"""Performance regime by regime."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.portfolio.losses.accounting import net_returns
from praesidium.portfolio.losses.arguments import check_beliefs, check_book, check_positive
from praesidium.portfolio.losses.sharpe import FLOOR


class Moments(NamedTuple):
    """Moments of portfolio returns in each regime.

    Attributes:
        share: mean belief in the regime; the shares sum to one.
        mean: return a period.
        variance: around the mean of the regime itself, a period.
    """

    share: Float[Tensor, " regimes"]
    mean: Float[Tensor, " regimes"]
    variance: Float[Tensor, " regimes"]


def regime_moments(
    net: Float[Tensor, "batch periods"], regime_probs: Float[Tensor, "batch periods regimes"]
) -> Moments:
    """mean_k = sum p_k r / sum p_k and variance_k = sum p_k (r - mean_k)^2 / sum p_k, over batch and time.

    Args:
        net: portfolio returns.
        regime_probs: beliefs, each known before the return at the same place.

    Returns:
        Moments by regime; both are 0 for a regime of share 0.
    """
    mass = regime_probs.sum((0, 1))
    belief = regime_probs / mass.clamp(min=torch.finfo(mass.dtype).tiny)
    mean = (belief * net.unsqueeze(-1)).sum((0, 1))
    variance = (belief * (net.unsqueeze(-1) - mean).square()).sum((0, 1))
    return Moments(mass / net.numel(), mean, variance)


def regime_conditional_loss(
    weights: Float[Tensor, "batch *time assets"],
    returns: Float[Tensor, "batch times assets"],
    regime_probs: Float[Tensor, "batch times regimes"],
    *,
    cost_rate: float = 0.0,
    previous: Float[Tensor, "batch assets"] | None = None,
    periods: float = 252,
    floor: float = FLOOR,
) -> Float[Tensor, ""]:
    """Minus sum_k share_k sqrt(periods) mean_k / sqrt(variance_k + floor^2): Sharpe ratios by regime, by their share.

    The belief at t, which is known at t, weighs the return of t + 1, which is earned under it. Moments are over batch
    and time together (:func:`regime_moments`), since the regimes of all samples are the same.

    Args:
        weights: (B, T, n), those at t earn the return of t + 1; or (B, n) held over the window, then bought with the
            first belief: the first return precedes all beliefs and is left out.
        returns: simple returns a period.
        regime_probs: filtered probabilities (B, T, K), known at t.
        cost_rate: proportional cost of a trade, a rate.
        previous: weights before the first trade; from cash where left out.
        periods: periods in a year.
        floor: least volatility in a regime, in units of return a period; raise it where the batch holds a regime for
            a few periods only, whose ratio says little.

    Raises:
        InputError: if shapes do not fit, or the beliefs are no distributions over regimes.
    """
    check_book("regime_conditional_loss", weights, returns, cost_rate, previous)
    check_beliefs("regime_conditional_loss", regime_probs, returns)
    check_positive("regime_conditional_loss", periods=periods, floor=floor)
    earned = returns[:, 1:] if weights.ndim == 2 else returns
    net = net_returns(weights, earned, cost_rate=cost_rate, previous=previous).net
    share, mean, variance = regime_moments(net, regime_probs[:, :-1].to(net.dtype))
    return -math.sqrt(periods) * (share * mean / (variance + floor**2).sqrt()).sum()
