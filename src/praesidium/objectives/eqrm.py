"""Empirical quantile risk minimization: a quantile of the distribution that the risks are drawn from."""

from __future__ import annotations

import math
from statistics import NormalDist

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from praesidium.objectives.objective import Memory, Objective, Sensitivities, Terms, no_penalty, plain_erm

STEPS = 40  # halvings of the bracket; the Newton step that follows squares what error they leave


class EQRM(Objective, kind="eqrm"):
    """The quantile at ``level`` of a Gaussian kernel density on the E risks: with that probability over
    environments, the risk of the next one is lower.

    The bandwidth is 1.06 sd E^(-1/5), sd with E - 1 (the "Gauss-optimal" of the authors' code; the variant with the
    interquartile range vanishes where half of few risks agree), and is differentiated too: the weights of the risks
    sum to one, but a calm environment's can be negative. With two environments it is their mean plus a fixed multiple
    of their distance, with three little more. The loss goes over to it from the mean along the ramp.

    Attributes:
        level: probability, in (0, 1).

    Source: Eastwood et al. 2022 (arXiv 2207.09944), algorithm 1.
    """

    level: float = Field(default=0.75, gt=0, lt=1)

    def terms(
        self, risks: Float[Tensor, "*replicas environments"], sensitivities: Sensitivities, ramp: float, memory: Memory
    ) -> Terms:
        if ramp == 0:
            return plain_erm(risks)
        quantile = _density_quantile(risks, self.level)
        return Terms(
            risk=torch.lerp(risks.mean(-1), quantile, ramp),
            penalty=no_penalty(risks),
            log={"quantile": quantile.detach()},
        )


def _density_quantile(risks: Float[Tensor, "*replicas environments"], level: float) -> Float[Tensor, "*replicas"]:
    """Quantile of the kernel density; the common value where all risks are equal.

    Risks are standardized first, so that the bandwidth is a number. The derivative is that of the implicit function:
    halving a bracket inside the graph would differentiate the ends of the bracket in place of the quantile.
    """
    # Distances from one of the risks are exact where risks are close; their mean and scale are then no rounding error.
    worst = risks.detach().amax(-1, keepdim=True)
    distances = risks - worst
    mean = distances.mean(-1, keepdim=True)
    # Without the smallest of numbers, the scale of equal risks would be zero and have no derivative.
    scale = (distances.var(-1, keepdim=True) + torch.finfo(risks.dtype).tiny).sqrt()
    centers, width = (distances - mean) / scale, 1.06 * risks.shape[-1] ** -0.2
    with torch.no_grad():
        beyond = width * NormalDist().inv_cdf(level)
        low, high = centers.amin(-1, keepdim=True) + beyond, centers.amax(-1, keepdim=True) + beyond
        for _ in range(STEPS):
            middle = (low + high) / 2
            below = _share_below(middle, centers, width) < level
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        start = (low + high) / 2
        density = (-0.5 * ((start - centers) / width).square()).exp().mean(-1, keepdim=True)
        density = density / (width * math.sqrt(2 * math.pi))
    root = start + (level - _share_below(start, centers, width)) / density
    return (worst + mean + scale * root).squeeze(-1)


def _share_below(
    point: Float[Tensor, "*replicas 1"], centers: Float[Tensor, "*replicas environments"], width: float
) -> Float[Tensor, "*replicas 1"]:
    return torch.special.ndtr((point - centers) / width).mean(-1, keepdim=True)
