"""How far gradients of different environments disagree: measures on the rows of a matrix, or of many."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Gradients = Float[Tensor, "*replicas environments parameters"]
ByEnvironment = Float[Tensor, "*replicas environments"]


def soft_norm(gradients: Gradients, floor: ByEnvironment) -> Float[Tensor, "*replicas environments 1"]:
    """sqrt(|g|^2 + floor^2): the norm, bounded away from zero so that its inverse stays finite."""
    return (gradients.square().sum(-1) + floor.square()).sqrt().unsqueeze(-1)


def mean_cosine(gradients: Gradients, floor: ByEnvironment) -> Float[Tensor, "*replicas"]:
    """Mean cosine over unordered pairs of rows, with soft norms; 0 for a single row."""
    count = gradients.shape[-2]
    unit = gradients / soft_norm(gradients, floor)
    pairs = unit.sum(-2).square().sum(-1) - unit.square().sum((-2, -1))
    return pairs / max(count * (count - 1), 1)


def cross_cosine(
    halves: Float[Tensor, "halves *replicas environments parameters"], floor: ByEnvironment
) -> Float[Tensor, "*replicas"]:
    """Mean cosine over unordered pairs of rows with both of its parts from independent halves of the draws.

    cos_ee' = (<g_e^A, g_e'^B> + <g_e^B, g_e'^A>) / (2 n_e n_e') with n_e^2 = max(<g_e^A, g_e^B>, 0) + floor_e^2. Noise
    that environments share, as they do under common random numbers, raises the cosine of one batch, not this one.
    """
    first, second = halves[0], halves[1]
    products = first @ second.mT
    products = (products + products.mT) / 2
    own = products.diagonal(dim1=-2, dim2=-1)
    norms = (own.clamp(min=0) + floor.square()).sqrt()
    cosines = products / (norms.unsqueeze(-1) * norms.unsqueeze(-2))
    count = halves.shape[-2]
    pairs = cosines.sum((-2, -1)) - cosines.diagonal(dim1=-2, dim2=-1).sum(-1)
    return pairs / max(count * (count - 1), 1)


def variance(gradients: Gradients) -> Float[Tensor, "*replicas"]:
    """Var_e[g_e] = mean_e |g_e - mean|^2, which is mean_e |g_e|^2 - |mean|^2."""
    return (gradients - gradients.mean(-2, keepdim=True)).square().sum(-1).mean(-1)


def normalized_variance(gradients: Gradients, floor: ByEnvironment) -> Float[Tensor, "*replicas"]:
    """Mean square distance of g_e / stop(|g_e|) from its mean.

    In value 1 - |mean of unit rows|^2. The norm is held fixed in derivatives: they may shrink a row, never inflate it.
    """
    return variance(gradients / soft_norm(gradients, floor).detach())


def mean_square(gradients: Gradients) -> Float[Tensor, "*replicas"]:
    """mean_e |g_e|^2."""
    return gradients.square().sum(-1).mean(-1)


def unit_cosine(gradients: Gradients) -> Float[Tensor, "*replicas"]:
    """Mean cosine over pairs, without a floor but for rounding."""
    return mean_cosine(gradients, torch.full_like(gradients[..., 0], torch.finfo(gradients.dtype).tiny ** 0.5))
