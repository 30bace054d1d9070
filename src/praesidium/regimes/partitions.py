"""Where a search for the maximum likelihood starts: at partitions of the rows, because the likelihood has many maxima.

Volatility regimes do not differ in level, so that k-means on the observations alone cannot tell them apart. Every other
partition is made by what surrounds a row: local means and the logarithms of local deviations.

Source: short runs from several starts, then a long one from the best: Biernacki, Celeux and Govaert 2003.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from praesidium.regimes.baum_welch import Fit, Problem, expectation_maximization
from praesidium.regimes.clusters import k_means, nearest
from praesidium.regimes.densities import Laws
from praesidium.training.reproducibility import stream

SHORT = 8  # iterations of EM from each partition
WINDOWS = (11, 21, 5)  # rows around a row that say how volatile it is there
FARTHEST = 5.0  # standard deviations at which outliers are cut off before clusters are looked for
STAY = 0.9  # share of stays to start from
OWN = 0.9  # share of a regime's first law that its own part has in it, against all rows


def best_partition(
    problem: Problem, values: Float[Tensor, "batch times features"], regimes: int, *, count: int, seed: int
) -> Fit:
    """The best end of short runs of EM from ``count`` partitions.

    Args:
        problem: what is to be maximized.
        values: standardized observations, NaN where missing.
        regimes: K.
        count: number of partitions.
        seed: of the centers of clusters.
    """
    ends, seen = [], problem.rows.count.squeeze(-1) > 0
    for place in range(count):
        view = surroundings(values, WINDOWS[place // 2 % len(WINDOWS)]) if place % 2 == 0 else values.nan_to_num(nan=0)
        points = view.flatten(0, 1).clamp(-FARTHEST, FARTHEST)
        labels = torch.zeros(len(points), dtype=torch.int64)
        centers = k_means(points[seen], regimes, stream(seed, "regimes", "start", place))
        labels[seen] = nearest(points[seen], centers)
        guess = _guess(problem, labels, regimes, values.shape[-1])
        ends.append(expectation_maximization(problem, guess, max_iter=SHORT, tol=0.0))
    return max(ends, key=lambda one: one.history[-1])


def _guess(problem: Problem, labels: Int[Tensor, " rows"], regimes: int, features: int) -> Fit:
    """Laws of the parts, each with a little of all rows in it; every regime likely to stay."""
    one_hot = torch.nn.functional.one_hot(labels, regimes).double()
    weight = (OWN * one_hot + (1 - OWN) / regimes) * (problem.rows.count > 0)
    units = problem.rows.units(regimes, features)
    laws = Laws(torch.zeros(regimes, features, dtype=units.dtype), units, problem.tails.start(regimes))
    found = problem.tails.maximize(problem.rows, laws, weight)
    scale = problem.rows.raised(found.scale, problem.least)
    stay = (1 - STAY) / regimes + STAY * torch.eye(regimes, dtype=units.dtype)
    return Fit(
        torch.full((regimes,), 1 / regimes, dtype=units.dtype), stay, laws._replace(mean=found.mean, scale=scale)
    )


def surroundings(values: Float[Tensor, "batch times features"], window: int) -> Float[Tensor, "batch times views"]:
    """Mean of what was observed around each row, and the logarithm of the root of its mean square about that."""
    seen = (~values.isnan()).to(values.dtype)
    known = values.nan_to_num(nan=0)
    count = _around(seen, window).clamp(min=1)
    level = _around(known, window) / count
    spread = _around((known - level).square() * seen, window) / count
    return torch.cat([level, 0.5 * spread.clamp(min=1e-4).log()], dim=-1)


def _around(values: Float[Tensor, "batch times features"], window: int) -> Float[Tensor, "batch times features"]:
    """Sum over a window around each row."""
    return window * torch.nn.functional.avg_pool1d(values.mT, window, stride=1, padding=window // 2).mT
