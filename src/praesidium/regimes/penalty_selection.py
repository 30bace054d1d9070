"""The price of a jump, chosen by what it foretells: cross-validation that never trains on what comes later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from praesidium.component import InputError
from praesidium.regimes.jump_fit import JumpFit, Sample, forward

YEAR, COST, DELAY = 252, 1e-3, 1  # periods; part of what is traded; periods between a signal and its trade

Weights = Callable[[Float[np.ndarray, "times states *rows"]], Float[np.ndarray, "times states *rows"]]


def predictive(
    fit: JumpFit,
    probabilities: Float[np.ndarray, "times states sequences"],
    returns: Float[np.ndarray, "times sequences"],
    scored: Bool[np.ndarray, "times sequences"],
) -> float:
    """Mean log score, nats a row, of the return that comes next: log sum_k (p_{t-1} A)_k N(r_t; m_k, s_k).

    A proper score. It rewards regimes that tell the next return's law, and that last, since what is said of row t is
    what the filter knew at t - 1. It asks for no trade, no cost and no unit of the returns. NaN if there is no return.
    """
    ahead = np.einsum("tis,ij->tjs", probabilities[:-1], fit.transition)
    mean, variance = fit.laws.mean[:, :1].numpy(), fit.laws.scale[:, :1].numpy()
    density = np.square(returns[1:, np.newaxis] - mean) / variance + np.log(2 * np.pi * variance)
    counted = (np.log(ahead) - 0.5 * density).swapaxes(1, 2)[scored[1:] & ~np.isnan(returns[1:])]
    scores = np.logaddexp.reduce(counted, axis=1)
    return float(scores.mean()) if len(scores) else np.nan


def sharpe(
    fit: JumpFit,
    probabilities: Float[np.ndarray, "times states sequences"],
    returns: Float[np.ndarray, "times sequences"],
    scored: Bool[np.ndarray, "times sequences"],
) -> float:
    """Sharpe ratio a year of holding the asset unless the most volatile regime is the likeliest.

    A signal at t is traded at t + 1 and earns from then on; 10 basis points of what is traded are lost. Returns are
    simple, daily, and in fractions. Zero if the asset is never held, NaN if there is no return.

    Source: Shu, Yu and Mulvey 2024 (arXiv 2402.05272), who choose the penalty so.
    """
    held = np.zeros(returns.shape)
    held[1 + DELAY :] = (probabilities.argmax(1) != fit.volatilities.argmax())[: -1 - DELAY]
    traded = np.abs(np.diff(held, axis=0, prepend=0.0))
    earned = (held * returns - COST * traded)[scored & ~np.isnan(returns)]
    if not len(earned):
        return np.nan
    return float(earned.mean() / earned.std() * YEAR**0.5) if earned.any() else 0.0


CRITERIA: dict[str, Callable[..., float]] = {"predictive": predictive, "sharpe": sharpe}
"""What a penalty is chosen by, of rows after those that were trained on; higher is better."""


def compare_penalties(
    sample: Sample,
    penalties: Sequence[float],
    fit: Callable[[Sample, Sequence[float]], list[JumpFit]],
    weigh: Weights,
    *,
    criterion: str,
    n_splits: int,
) -> pd.DataFrame:
    """Score penalties on expanding folds.

    Each sequence is cut into ``n_splits + 1`` parts of equal length. Fold i trains on the first i parts and scores the
    next one, with the filter running on from the first row.

    Args:
        sample: the training rows, nothing later.
        penalties: to be compared.
        fit: a model for each penalty.
        weigh: from costs of paths to probabilities.
        criterion: name in :data:`CRITERIA`.
        n_splits: number of folds.

    Returns:
        A row for each penalty: its score in each fold, ``fold_1`` and so on, and their ``mean``.

    Raises:
        InputError: if there are too few rows.
    """
    if int(sample.lengths.min()) < 2 * (n_splits + 1):
        raise InputError(
            f"jump_penalty: 'cv' with n_splits={n_splits} needs {2 * (n_splits + 1)} rows in each sequence, not "
            f"{int(sample.lengths.min())}; give more, fewer splits, or a number as the penalty"
        )
    cuts = [-(-sample.lengths * part // (n_splits + 1)) for part in range(1, n_splits + 2)]
    table = {}
    for number, (start, end) in enumerate(pairwise(cuts), start=1):
        fits = fit(sample.until(start), penalties)
        seen = sample.until(end)
        probabilities = weigh(forward(fits, seen.features))
        scored = np.arange(len(seen.columns))[:, np.newaxis] >= start
        table[f"fold_{number}"] = [
            CRITERIA[criterion](one, probabilities[:, :, place], seen.columns[..., 0], scored)
            for place, one in enumerate(fits)
        ]
    scores = pd.DataFrame(table, index=pd.Index(penalties, name="jump_penalty"))
    return scores.assign(mean=scores.mean(axis=1))
