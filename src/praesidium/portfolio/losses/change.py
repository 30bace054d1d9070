"""Regime changes within a horizon: how likely, and into what."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.linalg import matrix_power

from praesidium.portfolio.losses.arguments import check_distributions, check_transition


def change_probability(
    regime_probs: Float[Tensor, "*batch regimes"],
    transition: Float[Tensor, "*matrices regimes regimes"],
    *,
    horizon: int,
) -> Float[Tensor, "*batch"]:
    """P(the regime changes within h periods) = sum_k p_k (1 - A_kk^h): one minus the chance of staying all the time.

    A chain that leaves and returns has changed: this is above 1 - sum_k p_k (A^h)_kk. 0 where A is the identity.

    Args:
        regime_probs: beliefs p about the present regime.
        transition: A_ij = P(j next | i now), (K, K), or one matrix for each belief, then kept over the horizon.
        horizon: h, in periods, at least 1.

    Raises:
        InputError: if shapes do not fit, rows do not sum to one, or the horizon is not positive.
    """
    check_distributions("change_probability", "regime_probs", regime_probs)
    check_transition("change_probability", transition, regime_probs, horizon)
    stays = transition.to(regime_probs.dtype).diagonal(dim1=-2, dim2=-1) ** horizon
    return (regime_probs * (1 - stays)).sum(-1)


def regimes_after_change(
    regime_probs: Float[Tensor, "*batch regimes"],
    transition: Float[Tensor, "*matrices regimes regimes"],
    *,
    horizon: int,
) -> Float[Tensor, "*batch regimes"]:
    """P(a change within h periods, and regime j at their end) = (p A^h)_j - p_j A_jj^h.

    Sums to :func:`change_probability` over the regimes; arguments and errors are the same.
    """
    check_distributions("regimes_after_change", "regime_probs", regime_probs)
    check_transition("regimes_after_change", transition, regime_probs, horizon)
    transition = transition.to(regime_probs.dtype)
    ahead = (regime_probs.unsqueeze(-2) @ matrix_power(transition, horizon)).squeeze(-2)
    stays = transition.diagonal(dim1=-2, dim2=-1) ** horizon
    return ahead - regime_probs * stays
