"""Clusters of points: k-means, and first centers that are far from each other."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

ROUNDS = 25  # of Lloyd's algorithm at most; more move no center by much


def k_means(
    points: Float[Tensor, "rows features"], clusters: int, generator: torch.Generator
) -> Float[Tensor, "clusters features"]:
    """Centers, each in the middle of the points that it is nearest to.

    Source: Lloyd 1982, "Least squares quantization in PCM".
    """
    draws = torch.rand(clusters, dtype=torch.float64, generator=generator)
    centers = far_apart(points, draws.to(points.device))
    before = None
    for _ in range(ROUNDS):
        labels = nearest(points, centers)
        if before is not None and torch.equal(labels, before):
            break
        counts, sums = tally(points, labels, clusters)
        filled = counts.unsqueeze(-1)
        centers, before = torch.where(filled > 0, sums / filled.clamp(min=1), centers), labels
    return centers


def nearest(
    points: Float[Tensor, "rows features"], centers: Float[Tensor, "clusters features"]
) -> Int[Tensor, " rows"]:
    """Index of the nearest center in Euclidean distance; the lower of two equal ones."""
    return torch.cdist(points, centers).argmin(-1)


def tally(
    points: Float[Tensor, "rows features"], labels: Int[Tensor, " rows"], clusters: int
) -> tuple[Float[Tensor, " clusters"], Float[Tensor, "clusters features"]]:
    """How many points each cluster has, and their sum."""
    counts = points.new_zeros(clusters).index_add(0, labels, points.new_ones(len(points)))
    return counts, points.new_zeros(clusters, points.shape[-1]).index_add(0, labels, points)


def far_apart(
    points: Float[Tensor, "rows features"], draws: Float[Tensor, " clusters"]
) -> Float[Tensor, "clusters features"]:
    """The first center is any point; each next one is drawn with a probability that grows as its squared distance.

    Args:
        points: to choose from.
        draws: numbers in [0, 1) that say which is chosen.

    Source: Arthur and Vassilvitskii 2007, "k-means++".
    """
    centers = points[(draws[0] * len(points)).long()].unsqueeze(0)
    distance = (points - centers).square().sum(-1)
    for draw in draws[1:]:
        mass = distance.cumsum(0)
        place = torch.searchsorted(mass, draw * mass[-1], right=True).clamp(max=len(points) - 1)
        centers = torch.cat([centers, points[place].unsqueeze(0)])
        distance = torch.minimum(distance, (points - centers[-1]).square().sum(-1))
    return centers
