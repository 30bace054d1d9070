"""Equal contributions to risk."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError
from praesidium.portfolio.losses.contributions import check_covariance, variance_contributions


def risk_parity_loss(
    weights: Float[Tensor, "*batch assets"], covariance: Float[Tensor, "*matrices assets assets"]
) -> Float[Tensor, ""]:
    """sum_i (RC_i / s^2 - 1/n)^2 with RC_i = w_i (C w)_i and s^2 = w' C w, mean over batch and time.

    Contributions are relative to the variance of the portfolio, so that neither the scale of the covariance nor that
    of the weights matters. 0 where each asset carries the same risk; 1 - 1/n where one carries all.

    Args:
        weights: (B, T, n) or (B, n).
        covariance: of returns a period: (n, n) for all, (B, n, n) for each sample, or (B, T, n, n) for each decision.

    Raises:
        InputError: if shapes do not fit, or a portfolio has no variance to share out.

    Source: Maillard, Roncalli and Teiletche 2010, with contributions relative to the variance.
    """
    check_covariance("risk_parity_loss", weights, covariance)
    contributions = variance_contributions(weights, covariance)
    variance = contributions.sum(-1, keepdim=True)
    empty = variance <= 0
    if empty.any():
        raise InputError(
            f"risk_parity_loss: {int(empty.sum())} of {empty.numel()} portfolios have no variance above 0; "
            "give weights that are not all zero and a covariance that is positive definite"
        )
    unequal = contributions / variance - 1 / weights.shape[-1]
    return unequal.square().sum(-1).mean()
