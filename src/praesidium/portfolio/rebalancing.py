"""How long to leave a portfolio alone: what a trade costs against what stale weights lose."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError
from praesidium.portfolio.losses.arguments import check_assets, check_positive
from praesidium.portfolio.losses.change import change_probability


def optimize_rebalancing_frequency(
    regime_probs: Float[Tensor, "*batch regimes"],
    transition: Float[Tensor, "*matrices regimes regimes"],
    *,
    cost_rate: float,
    alpha: float,
    turnover: float = 1.0,
    drift: float | Float[Tensor, "*batch"] = 0.0,
    periods: int = 252,
) -> Float[Tensor, "*batch"]:
    """Periods between rebalancings that lose least a year: sqrt(2 periods cost / (alpha q + drift)), at least one.

    Rebalancing every h periods costs periods / h times cost_rate * turnover a year. Weights of age s belong to a
    regime that has passed with a chance of at most s q, where q = 1 - sum_k p_k A_kk is the chance of a change next
    period, one over the expected stay; and they have drifted away. Over ages from 0 to h that loses
    (alpha q + drift) h / 2 a year. The sum is least at the root above: rarer for higher costs and longer stays.
    Infinite where no change can come and nothing drifts.

    Args:
        regime_probs: p, filtered or stationary.
        transition: A_ij = P(j next | i now), (K, K), or one matrix for each p.
        cost_rate: cost of a trade over its value, in [0, 1).
        alpha: return a year that weights made for a regime earn over weights made for the wrong one.
        turnover: money bought and sold at a rebalancing over wealth.
        drift: loss a year for each period of age, from :func:`drift_loss`; not below zero, NaN stays NaN.
        periods: a year.

    Raises:
        InputError: if a number is out of bounds, shapes do not fit, or rows do not sum to one.

    Source: the trade-off of the economic order quantity, Harris 1913.
    """
    caller = "optimize_rebalancing_frequency"
    if not 0 <= cost_rate < 1:
        raise InputError(f"{caller}: cost_rate={cost_rate:g} is not a rate in [0, 1); for 10 bp say cost_rate=0.001")
    if not 0 <= alpha < math.inf:
        raise InputError(
            f"{caller}: alpha={alpha:g} is below zero or no number; say 0 if the regimes call for the same weights"
        )
    if bool((torch.as_tensor(drift) < 0).any()):
        raise InputError(f"{caller}: drift is below zero; it is a loss, so say 0 where nothing drifts")
    check_positive(caller, turnover=turnover, periods=periods)
    lost = alpha * change_probability(regime_probs, transition, horizon=1) + drift
    if cost_rate == 0:
        return torch.ones_like(lost)
    return (2 * periods * cost_rate * turnover / lost).sqrt().clamp(min=1)


def drift_loss(
    weights: Float[Tensor, "*#batch assets"],
    covariance: Float[Tensor, "*#batch assets assets"],
    *,
    risk_aversion: float = 5.0,
    periods: int = 252,
) -> Float[Tensor, "*batch"]:
    """Loss of utility a year for each period that a portfolio has drifted: risk_aversion / 2 * periods * tr(C D C D').

    After s periods weights are off by D r, D = diag(w) (I - 1 w'), with r of covariance s C. That bet, which nobody
    chose, has the variance tr(C D C D') s a period.

    Args:
        weights: after a rebalancing; what is missing to 1 is cash.
        covariance: C of returns, a period.
        risk_aversion: price of a unit of variance, times 2.
        periods: a year.

    Computed in the precision of the weights.

    Raises:
        InputError: if a number is not positive, or the covariance is not that of as many assets.
    """
    check_positive("drift_loss", risk_aversion=risk_aversion, periods=periods)
    check_assets("drift_loss", weights, covariance)
    covariance = covariance.to(weights.dtype)
    off = torch.diag_embed(weights) - weights.unsqueeze(-1) * weights.unsqueeze(-2)
    bet = off @ covariance @ off.mT
    return risk_aversion / 2 * periods * (covariance * bet).sum((-2, -1))
