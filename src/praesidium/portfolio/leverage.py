"""Leverage that aims at a volatility, in a mixture of regimes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError
from praesidium.portfolio.losses.arguments import check_assets, check_distributions


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
        InputError: if the target is no fraction, the bounds are crossed, there is not one number for each regime, a
            volatility is below zero, or probabilities do not sum to one.
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
    for name, given in (("volatilities", volatilities), ("means", means)):
        if given is not None and given.shape[-1:] != regime_probs.shape[-1:]:
            raise InputError(
                f"optimize_leverage: {name} have shape {tuple(given.shape)} and regime_probs "
                f"{tuple(regime_probs.shape)}; give one for each regime along the last axis"
            )
    if bool((volatilities < 0).any()):
        raise InputError("optimize_leverage: a volatility is below zero; give standard deviations a period")
    check_distributions("optimize_leverage", "regime_probs", regime_probs)
    variance = (regime_probs * volatilities.square()).sum(-1)
    if means is not None:
        away = means - (regime_probs * means).sum(-1, keepdim=True)
        variance = variance + (regime_probs * away.square()).sum(-1)
    capped = (target_volatility / (cap + 1)) ** 2 / periods  # the cap binds before; the root at 0 has no slope
    return (target_volatility / (periods * variance.clamp(min=capped)).sqrt()).clamp(floor, cap)


def regime_volatilities(
    weights: Float[Tensor, "*#batch assets"], covariances: Float[Tensor, "*#batch regimes assets assets"]
) -> Float[Tensor, "*batch regimes"]:
    """Volatility sqrt(w' C_k w) of a portfolio in each regime, in the period of the covariances.

    Computed in the precision of the weights; where nothing moves the slope is taken to be 0.

    Raises:
        InputError: if the covariances are not those of as many assets.
    """
    check_assets("regime_volatilities", weights, covariances)
    variance = torch.einsum("...i,...kij,...j->...k", weights, covariances.to(weights.dtype), weights)
    still = variance == 0
    return torch.where(still, 0.0, torch.where(still, 1.0, variance).sqrt())
