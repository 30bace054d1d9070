"""Where the variance of a portfolio comes from."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError


def variance_contributions(
    weights: Float[Tensor, "*batch assets"], covariance: Float[Tensor, "*matrices assets assets"]
) -> Float[Tensor, "*batch assets"]:
    """Euler contributions RC_i = w_i (C w)_i, which sum to the variance w' C w.

    Args:
        weights: (B, T, n) or (B, n).
        covariance: of returns a period: (n, n) for all, (B, n, n) for each sample, or (B, T, n, n) for each decision.

    Returns:
        Variance a period by asset; negative where an asset hedges the others.

    Raises:
        InputError: if shapes do not fit.
    """
    check_covariance("variance_contributions", weights, covariance)
    by_sample = covariance.ndim == 3 and weights.ndim == 3
    matrix = (covariance.unsqueeze(1) if by_sample else covariance).to(weights.dtype)
    return weights * (matrix @ weights.unsqueeze(-1)).squeeze(-1)


def check_covariance(caller: str, weights: Tensor, covariance: Tensor) -> None:
    """Weights (B, T, n) or (B, n), and one matrix for all, for each sample, or for each of the weights."""
    if weights.ndim not in {2, 3}:
        raise InputError(
            f"{caller}: weights have shape {tuple(weights.shape)}; give (batch, time, assets) or (batch, assets)"
        )
    lead, square = tuple(weights.shape[:-1]), (weights.shape[-1],) * 2
    fitting = list(dict.fromkeys([square, (*lead[:1], *square), (*lead, *square)]))
    if tuple(covariance.shape) not in fitting:
        raise InputError(
            f"{caller}: covariance has shape {tuple(covariance.shape)}; give {' or '.join(map(str, fitting))}"
        )
