"""How far gradients of different environments disagree: three measures on the rows of a matrix."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

Gradients = Float[Tensor, "environments parameters"]


def soft_norm(gradients: Gradients, floor: Float[Tensor, " environments"]) -> Float[Tensor, "environments 1"]:
    """sqrt(|g|^2 + floor^2): the norm, bounded away from zero so that its inverse stays finite."""
    return (gradients.square().sum(-1) + floor.square()).sqrt().unsqueeze(-1)


def mean_cosine(gradients: Gradients, floor: Float[Tensor, " environments"]) -> Float[Tensor, ""]:
    """Mean cosine over unordered pairs of rows, with soft norms; 0 for a single row."""
    count = len(gradients)
    unit = gradients / soft_norm(gradients, floor)
    pairs = unit.sum(0).square().sum() - unit.square().sum()
    return pairs / max(count * (count - 1), 1)


def cosine_penalty(gradients: Gradients, floor: Float[Tensor, " environments"]) -> Float[Tensor, ""]:
    """1 - mean cosine: 0 where all rows point the same way; for two opposite rows 2. 0 for a single row.

    For unit rows Var_e = (E - 1) / E (1 - mean cosine).
    """
    return 1 - mean_cosine(gradients, floor) if len(gradients) > 1 else (gradients * 0).sum()


def normalized_variance(gradients: Gradients, floor: Float[Tensor, " environments"]) -> Float[Tensor, ""]:
    """Mean square distance of g_e / stop(|g_e|) from its mean.

    In value 1 - |mean of unit rows|^2. The norm is held fixed in derivatives: they may shrink a row, never inflate it.
    """
    unit = gradients / soft_norm(gradients, floor).detach()
    return (unit - unit.mean(0)).square().sum(-1).mean()


def mean_square(gradients: Gradients, floor: Float[Tensor, " environments"]) -> Float[Tensor, ""]:
    """mean_e |g_e|^2 = Var_e[g_e] + |mean_e g_e|^2: zero only where the head is optimal in every environment."""
    return gradients.square().sum(-1).mean()
