"""Checks of what the portfolio losses are given, each one sentence with the mend."""

from __future__ import annotations

from torch import Tensor

from praesidium.component import InputError

TOLERANCE = 1e-3  # of the sum of a distribution; single precision keeps far below


def check_book(
    caller: str, weights: Tensor, returns: Tensor, cost_rate: float = 0.0, previous: Tensor | None = None
) -> None:
    """Weights (batch, time, assets), or (batch, assets) held over the window, returns (batch, time, assets)."""
    if weights.ndim not in {2, 3} or 0 in weights.shape:
        raise InputError(
            f"{caller}: weights have shape {tuple(weights.shape)}; give (batch, time, assets), "
            "or (batch, assets) for weights that are held over the window"
        )
    batch, assets = weights.shape[0], weights.shape[-1]
    held = weights.ndim == 2
    wanted = f"({batch}, time, {assets})" if held else str(tuple(weights.shape))
    if returns.ndim != 3 or (returns.shape[0], returns.shape[2]) != (batch, assets):
        raise InputError(f"{caller}: returns have shape {tuple(returns.shape)}; give {wanted} to match the weights")
    if not held and returns.shape[1] != weights.shape[1]:
        raise InputError(
            f"{caller}: weights have {weights.shape[1]} times and returns {returns.shape[1]}; give both on the same "
            "times, the loss itself pairs weights at t with the return to t + 1"
        )
    if returns.shape[1] < (1 if held else 2):
        raise InputError(
            f"{caller}: returns have {returns.shape[1]} times; weights at t earn the return to t + 1, give at least 2"
        )
    if not 0 <= cost_rate < 1:
        raise InputError(f"{caller}: cost_rate={cost_rate:g} is not a rate in [0, 1); for 10 bp say cost_rate=0.001")
    if previous is not None and tuple(previous.shape) != (batch, assets):
        raise InputError(
            f"{caller}: previous has shape {tuple(previous.shape)}; give ({batch}, {assets}), "
            "the weights held before the first trade"
        )


def check_beliefs(caller: str, regime_probs: Tensor, returns: Tensor) -> None:
    """Distributions (batch, time, regimes) on the times of the returns, of which there are at least two."""
    shape, wanted = tuple(regime_probs.shape), f"({returns.shape[0]}, {returns.shape[1]}, regimes)"
    if regime_probs.ndim != 3 or shape[:2] != tuple(returns.shape[:2]):
        raise InputError(
            f"{caller}: regime_probs have shape {shape}; give {wanted} "
            "(VAE_HMM gives (batch, regimes, time): transpose(1, 2), or use model.filter)"
        )
    if returns.shape[1] < 2:
        raise InputError(
            f"{caller}: returns have {returns.shape[1]} times; a belief at t weighs the return to t + 1, "
            "give at least 2"
        )
    check_distributions(caller, "regime_probs", regime_probs)


def check_transition(caller: str, transition: Tensor, regime_probs: Tensor, horizon: int) -> None:
    """One matrix (regimes, regimes), or one for each distribution of ``regime_probs``; a positive horizon."""
    regimes = regime_probs.shape[-1]
    square = (regimes, regimes)
    if tuple(transition.shape) not in {square, (*regime_probs.shape, regimes)}:
        raise InputError(
            f"{caller}: transition has shape {tuple(transition.shape)}; give {square}, "
            f"or one matrix for each belief, {(*regime_probs.shape, regimes)}"
        )
    check_distributions(caller, "transition", transition)
    if horizon < 1:
        raise InputError(f"{caller}: horizon={horizon} is not a positive number of periods")


def check_distributions(caller: str, name: str, values: Tensor) -> None:
    """Probabilities that sum to one along the last axis; one that is not a number is let through and stays so."""
    wrong = (values < -TOLERANCE).any() or ((values.sum(-1) - 1).abs() > TOLERANCE).any()
    if wrong:
        raise InputError(
            f"{caller}: {name} are not distributions along the last axis; give probabilities that sum to 1 over the "
            "regimes, not logits and not another layout"
        )


def check_assets(caller: str, weights: Tensor, covariance: Tensor) -> None:
    """A row and a column of each covariance for each asset."""
    assets = weights.shape[-1]
    if tuple(covariance.shape[-2:]) != (assets, assets):
        raise InputError(
            f"{caller}: covariance has shape {tuple(covariance.shape)} and weights {tuple(weights.shape)}; give "
            f"({assets}, {assets}) along the last axes"
        )


def check_positive(caller: str, **numbers: float) -> None:
    """Each number is above zero."""
    for name, number in numbers.items():
        if not number > 0:
            raise InputError(f"{caller}: {name}={number:g} is not positive")
