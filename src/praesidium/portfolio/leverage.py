"""Leverage that aims at a volatility, in a mixture of regimes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError
from praesidium.portfolio.losses.arguments import check_distributions


def optimize_leverage(
    regime_probs: Float[Tensor, "*batch regimes"],
    volatilities: Float[Tensor, "*#batch regimes"],
    *,
    target_volatility: float,
    means: Float[Tensor, "*#batch regimes"] | None = None,
    cap: float = 2.0,
    floor: float = 0.0,
    periods: int = 252,
) -> Float[Tensor, "*batch"]:
    """Target over expected volatility, both a year, between ``floor`` and ``cap``.

    The expected variance a period is that of the mixture of regimes: sum_k p_k (s_k^2 + m_k^2) - (sum_k p_k m_k)^2.

    Args:
        regime_probs: of the regimes over the time of holding, which sum to one.
        volatilities: of the unlevered portfolio in each regime, a period (:func:`regime_volatilities`), 0.01 for 1 %.
        target_volatility: annualized, a fraction: 0.10 for 10 % a year.
        means: of the portfolio in each regime, a period; by default the regimes differ in volatility alone.
        cap: highest leverage; reached where nothing moves.
        floor: lowest leverage.
        periods: a year: 252 for daily volatilities, 12 for monthly ones.

    Raises:
        InputError: if the target is no fraction, the bounds are crossed, a volatility is below zero, or probabilities
            do not sum to one.
    """
    if not 0 < target_volatility < 3:
        raise InputError(
            f"optimize_leverage: target_volatility={target_volatility:g} is not a fraction above 0; for 10 % a year "
            "say 0.10"
        )
    if not 0 <= floor <= cap:
        raise InputError(f"optimize_leverage: floor={floor:g} and cap={cap:g} are not in order; say 0 <= floor <= cap")
    if periods < 1:
        raise InputError(f"optimize_leverage: periods={periods} is not a number of periods a year; say 252 for days")
    if bool((volatilities < 0).any()):
        raise InputError("optimize_leverage: a volatility is below zero; give standard deviations a period")
    check_distributions("optimize_leverage", "regime_probs", regime_probs)
    variance = (regime_probs * volatilities.square()).sum(-1)
    if means is not None:
        away = means - (regime_probs * means).sum(-1, keepdim=True)
        variance = variance + (regime_probs * away.square()).sum(-1)
    return (target_volatility / (periods * variance).sqrt()).clamp(floor, cap)


def regime_volatilities(
    weights: Float[Tensor, "*#batch assets"], covariances: Float[Tensor, "*#batch regimes assets assets"]
) -> Float[Tensor, "*batch regimes"]:
    """Volatility sqrt(w' C_k w) of a portfolio in each regime, in the period of the covariances."""
    return torch.einsum("...i,...kij,...j->...k", weights, covariances, weights).sqrt()
