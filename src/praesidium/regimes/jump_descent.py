"""Coordinate descent of jump models: the best path for given centers, the best centers for a given path, and again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from praesidium.regimes.clusters import far_apart
from praesidium.regimes.jump_path import best_path, distances, least_costs

ITERATIONS = 300  # a stop for paths that rounding lets alternate; descents end after 5 to 40
WIDTHS = (1, 5, 20)  # rows whose mean is a center to start from


@dataclass(frozen=True, eq=False)
class Descent:
    """Where descents from several starts, with several penalties, have ended.

    Attributes:
        centers: of each regime, in units of the features.
        states: regime of each row.
        history: objective of each fit after each iteration; it never rises.
    """

    centers: Float[np.ndarray, "fits states features"]
    states: Int[np.ndarray, "times fits sequences"]
    history: Float[np.ndarray, "iterations fits"]

    @property
    def objective(self) -> Float[np.ndarray, " fits"]:
        """sum_t |y_t - center(s_t)|^2 / 2 + penalty (jumps), of each fit."""
        return self.history[-1]


def descend(
    features: Float[np.ndarray, "times sequences features"],
    centers: Float[np.ndarray, "fits states features"],
    penalty: Float[np.ndarray, " fits"],
) -> Descent:
    """Minimize sum_t |y_t - center(s_t)|^2 / 2 + penalty (number of jumps) over centers and paths, from these centers.

    Neither step can raise the objective; it ends when no path changes, in a local minimum. A regime without rows keeps
    its center.

    Args:
        features: standardized; NaN where missing, which costs nothing, and past the end of a sequence.
        centers: to start from.
        penalty: price of a jump, one for each fit.

    Source: Nystrup, Lindström and Madsen 2020, "Learning hidden Markov models with persistent states by penalizing
    jumps"; the factor 1/2 as in the package jumpmodels.
    """
    centers, price = centers.copy(), penalty[:, np.newaxis]
    states = np.full((len(features), len(centers), features.shape[1]), -1)
    objective, history = np.empty(len(centers)), []
    active = np.arange(len(centers))  # fits whose path moved in the last iteration
    for _ in range(ITERATIONS):
        values = least_costs(distances(features, centers[active]), price[active])
        path = best_path(values, price[active])
        moved = (path != states[:, active]).any((0, 2))
        states[:, active], objective[active] = path, values[-1].min(0).sum(-1)
        history.append(objective.copy())
        active = active[moved]
        if not len(active):
            break
        centers[active] = means(features, path[:, moved], centers[active])
    return Descent(centers, states, np.stack(history))


def means(
    features: Float[np.ndarray, "times sequences features"],
    states: Int[np.ndarray, "times fits sequences"],
    centers: Float[np.ndarray, "fits states features"],
) -> Float[np.ndarray, "fits states features"]:
    """Mean of each feature over the rows of each regime; as in ``centers`` where a regime has none."""
    missing = np.isnan(features).reshape(-1, features.shape[-1])
    known = np.where(missing, 0.0, features.reshape(missing.shape))
    seen, flat = (~missing).astype(np.float64), states.swapaxes(0, 1).reshape(states.shape[1], -1)
    moved = centers.copy()
    for state in range(centers.shape[1]):
        here = (flat == state).astype(np.float64)
        total, count = here @ known, here @ seen
        np.divide(total, count, out=moved[:, state], where=count > 0)
    return moved


def starts(
    features: Float[np.ndarray, "times sequences features"], n_regimes: int, n_init: int, generator: torch.Generator
) -> Float[np.ndarray, "fits states features"]:
    """Centers to start from: rows, or local means of rows, that are far from each other.

    Starts take means over 1, 5 and 20 rows in turn: single rows find regimes that are rare, means find those that noise
    hides. A missing feature counts as zero, the mean.
    """
    draws = torch.rand(n_init, n_regimes, dtype=torch.float64, generator=generator)
    views = [torch.from_numpy(_local_means(features, width)) for width in WIDTHS]
    return torch.stack([far_apart(views[place % len(WIDTHS)], one) for place, one in enumerate(draws)]).numpy()


def _local_means(
    features: Float[np.ndarray, "times sequences features"], width: int
) -> Float[np.ndarray, "rows features"]:
    """Mean of the last ``width`` rows at each row that holds a number, of those that there are."""
    total = np.nan_to_num(features, nan=0.0).cumsum(0)
    total[width:] -= total[:-width].copy()
    rows = np.minimum(np.arange(1, len(features) + 1), width)[:, np.newaxis, np.newaxis]
    return (total / rows)[~np.isnan(features).all(-1)]
