"""How far gradients of different environments disagree: three measures on the rows of a matrix, or of many."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

Gradients = Float[Tensor, "*replicas environments parameters"]


def soft_norm(
    gradients: Gradients, floor: Float[Tensor, "*replicas environments"]
) -> Float[Tensor, "*replicas environments 1"]:
    """sqrt(|g|^2 + floor^2): the norm, bounded away from zero so that its inverse stays finite."""
    return (gradients.square().sum(-1) + floor.square()).sqrt().unsqueeze(-1)


def mean_cosine(gradients: Gradients, floor: Float[Tensor, "*replicas environments"]) -> Float[Tensor, "*replicas"]:
    """Mean cosine over unordered pairs of rows, with soft norms; 0 for a single row."""
    count = gradients.shape[-2]
    unit = gradients / soft_norm(gradients, floor)
    pairs = unit.sum(-2).square().sum(-1) - unit.square().sum((-2, -1))
    return pairs / max(count * (count - 1), 1)


def cosine_penalty(gradients: Gradients, floor: Float[Tensor, "*replicas environments"]) -> Float[Tensor, "*replicas"]:
    """1 - mean cosine: 0 where all rows point the same way; for two opposite rows 2. 0 for a single row.

    For unit rows Var_e = (E - 1) / E (1 - mean cosine).
    """
    return 1 - mean_cosine(gradients, floor) if gradients.shape[-2] > 1 else (gradients * 0).sum((-2, -1))


def normalized_variance(
    gradients: Gradients, floor: Float[Tensor, "*replicas environments"]
) -> Float[Tensor, "*replicas"]:
    """Mean square distance of g_e / stop(|g_e|) from its mean.

    In value 1 - |mean of unit rows|^2. The norm is held fixed in derivatives: they may shrink a row, never inflate it.
    """
    unit = gradients / soft_norm(gradients, floor).detach()
    return (unit - unit.mean(-2, keepdim=True)).square().sum(-1).mean(-1)


def mean_square(gradients: Gradients, floor: Float[Tensor, "*replicas environments"]) -> Float[Tensor, "*replicas"]:
    """mean_e |g_e|^2 = Var_e[g_e] + |mean_e g_e|^2: zero only where the head is optimal in every environment."""
    return gradients.square().sum(-1).mean(-1)
