"""Paths of regimes where every jump has a price: the dynamic program of jump models.

Costs are (times, states, \\*rows): time first, so that a step of the program works on all rows at once. A row is one
problem, such as one sequence with one set of centers.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def distances(
    features: Float[np.ndarray, "times sequences features"], centers: Float[np.ndarray, "fits states features"]
) -> Float[np.ndarray, "times states fits sequences"]:
    """Half the squared distance of each row of features from each center; what is missing (NaN) costs nothing."""
    missing = np.isnan(features)[:, np.newaxis, np.newaxis]
    known = np.where(missing, 0.0, features[:, np.newaxis, np.newaxis])
    total = np.zeros((len(features), centers.shape[1], centers.shape[0], features.shape[1]))
    away = np.empty_like(total)
    # One feature after the other, never a matrix product, whose rounding would depend on how many rows follow.
    for feature in range(features.shape[-1]):
        np.subtract(known[..., feature], centers[..., feature].T[..., np.newaxis], out=away)
        np.multiply(away, away, out=away)
        if missing[..., feature].any():
            away *= ~missing[..., feature]
        total += away
    return np.multiply(total, 0.5, out=total)


def least_costs(
    costs: Float[np.ndarray, "times states *rows"], penalty: Float[np.ndarray, "*#rows"]
) -> Float[np.ndarray, "times states *rows"]:
    """Cost of the cheapest path up to each time that ends in each state.

    V_t(k) = c_t(k) + min(V_{t-1}(k), min_j V_{t-1}(j) + penalty), V_1 = c_1. It knows the costs up to t alone: the
    state with the least V_t is where the best path so far ends.

    Source: Bemporad, Breschi, Piga and Boyd 2018, "Fitting jump models".
    """
    values = costs.copy()
    before = values[0]
    for now in values[1:]:
        np.add(now, np.minimum(before, np.minimum.reduce(before) + penalty), out=now)
        before = now
    return values


def costs_through(
    costs: Float[np.ndarray, "times states *rows"], penalty: Float[np.ndarray, "*#rows"]
) -> Float[np.ndarray, "times states *rows"]:
    """Cost of the cheapest path over all times that is in each state at each time: it looks ahead."""
    return least_costs(costs, penalty) + least_costs(costs[::-1], penalty)[::-1] - costs


def best_path(
    values: Float[np.ndarray, "times states *rows"], penalty: Float[np.ndarray, "*#rows"]
) -> Int[np.ndarray, "times *rows"]:
    """The cheapest path over all times, traced back through :func:`least_costs`.

    Where two are equally cheap, the one that jumps later, and the lower state at the end.
    """
    best = values.argmin(1)
    stays = values <= values.min(1, keepdims=True) + penalty
    here = np.arange(values.shape[1]).reshape(1, -1, *[1] * (values.ndim - 2))
    came_from = np.where(stays, here, best[:, np.newaxis]).reshape(*values.shape[:2], -1)
    path = best.reshape(len(best), -1)
    rows = np.arange(path.shape[1])
    for time in range(len(path) - 2, -1, -1):
        path[time] = came_from[time, path[time + 1], rows]
    return path.reshape(best.shape)
