"""The trades that the next regime change will ask for."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError
from praesidium.portfolio.losses.arguments import check_beliefs, check_book, check_transition
from praesidium.portfolio.losses.change import change_probability, regimes_after_change
from praesidium.portfolio.losses.sharpe import FLOOR, sharpe_loss


def transition_aware_loss(
    weights: Float[Tensor, "batch *time assets"],
    returns: Float[Tensor, "batch times assets"],
    regime_probs: Float[Tensor, "batch times regimes"],
    transition: Float[Tensor, "*matrices regimes regimes"],
    *,
    horizon: int,
    targets: Float[Tensor, "*targeted regimes assets"] | None = None,
    transition_weight: float = 1.0,
    cost_rate: float = 0.0,
    previous: Float[Tensor, "batch assets"] | None = None,
    periods: float = 252,
    floor: float = FLOOR,
) -> Float[Tensor, ""]:
    """The Sharpe loss plus a multiple of the turnover that a regime change is expected to force.

    At each t the penalty is c_t sum_i |w_t,i - (mix after a change)_i|, where c_t = P(a change within h) and the mix
    is that of the regimes' target weights by P(z_{t+h} = j | a change). It is 0 where no change can come (A = I) and
    small where the weights of today also suit what may follow; it asks to lean toward the likely next regime ahead
    of time, and not to hold opposite books in regimes that alternate.

    Args:
        weights: (B, T, n), those at t earn the return of t + 1; or (B, n) held over the window.
        returns: simple returns a period.
        regime_probs: filtered probabilities (B, T, K), known at t.
        transition: A_ij = P(j next | i now), (K, K), or (B, T, K, K): as known at t, kept over the horizon.
        horizon: h, in periods.
        targets: weights wanted in each regime, (K, n) or (B, K, n). Where left out they are what the policy itself
            holds there (:func:`regime_targets`), with their gradient; held weights need them.
        transition_weight: loss for one expected turnover of 1 (half the book).
        cost_rate: proportional cost of the trades that are made, a rate.
        previous: weights before the first trade; from cash where left out.
        periods: periods in a year.
        floor: least volatility, in units of return a period.

    Raises:
        InputError: if shapes do not fit, the beliefs or rows of the matrix are no distributions, or the horizon is
            not positive.
    """
    check_book("transition_aware_loss", weights, returns, cost_rate, previous)
    check_beliefs("transition_aware_loss", regime_probs, returns)
    check_transition("transition_aware_loss", transition, regime_probs, horizon)
    _check_targets(targets, weights, regime_probs)
    beliefs = regime_probs.to(weights.dtype)
    wanted = regime_targets(weights, beliefs) if targets is None else targets.to(weights.dtype)
    change = change_probability(beliefs, transition, horizon=horizon).unsqueeze(-1)
    mix = regimes_after_change(beliefs, transition, horizon=horizon) @ wanted
    now = weights.unsqueeze(1) if weights.ndim == 2 else weights
    forced = (change * now - mix).abs().sum(-1).mean()
    performance = sharpe_loss(weights, returns, cost_rate=cost_rate, previous=previous, periods=periods, floor=floor)
    return performance + transition_weight * forced


def regime_targets(
    weights: Float[Tensor, "batch times assets"], regime_probs: Float[Tensor, "batch times regimes"]
) -> Float[Tensor, "batch regimes assets"]:
    """sum_t p_t,k w_t / sum_t p_t,k: what a policy holds in each regime of the window.

    A regime that is never believed in has the mean weights of the window.
    """
    prior = torch.finfo(weights.dtype).eps
    mass = regime_probs.sum(1).unsqueeze(-1)
    held = regime_probs.transpose(1, 2) @ weights
    return (held + prior * weights.mean(1, keepdim=True)) / (mass + prior)


def _check_targets(targets: Tensor | None, weights: Tensor, regime_probs: Tensor) -> None:
    shape = (regime_probs.shape[-1], weights.shape[-1])
    if targets is None and weights.ndim == 2:
        raise InputError(
            f"transition_aware_loss: held weights say nothing about single regimes; give targets of shape {shape}"
        )
    if targets is not None and tuple(targets.shape) not in {shape, (len(weights), *shape)}:
        raise InputError(
            f"transition_aware_loss: targets have shape {tuple(targets.shape)}; give {shape} or "
            f"{(len(weights), *shape)}, the weights wanted in each regime"
        )
