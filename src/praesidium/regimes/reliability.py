"""Are regime probabilities as often right as they say?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from praesidium.component import InputError
from praesidium.regimes.belief import MISSING, ROUNDING


@dataclass(frozen=True, eq=False)
class Reliability:
    """How well probabilities of K regimes agree with the regimes that were.

    Attributes:
        ece: expected calibration error of the most probable regime, sum over bins of (share of rows) times
            \\|accuracy - mean confidence\\|; in [0, 1].
        classwise_ece: the same of the probability of each regime against its frequency, mean over regimes.
        brier: mean of sum_k (p_k - 1[label = k])^2; in [0, 2], lower is better.
        log_score: mean log p of the label in nats, higher is better; minus infinity if a label had probability 0.
        rows: how many rows were scored.
        edges: edges of the bins of confidence; a bin holds its lower edge, and the last one 1 as well.
        count: rows in each bin, by the probability of their most probable regime.
        confidence: mean probability of the most probable regime in each bin, NaN in an empty one.
        accuracy: share of rows whose most probable regime is the label, NaN in an empty bin.
    """

    ece: float
    classwise_ece: float
    brier: float
    log_score: float
    rows: int
    edges: NDArray[np.float64]
    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    def table(self) -> pd.DataFrame:
        """One row a bin: its edges, count, mean confidence and accuracy."""
        return pd.DataFrame(
            {
                "from": self.edges[:-1],
                "to": self.edges[1:],
                "count": self.count,
                "confidence": self.confidence,
                "accuracy": self.accuracy,
            }
        )


def reliability(
    probabilities: Float[Tensor, "*batch regimes"] | Float[np.ndarray, "*batch regimes"],
    labels: Int[Tensor, "*labels"] | Int[np.ndarray, "*labels"],
    *,
    bins: int = 10,
) -> Reliability:
    """Calibration and proper scores of regime probabilities against labels.

    Args:
        probabilities: rows that sum to one; regimes are the last axis. Rows with NaN are missing and do not count.
        labels: 0 .. K - 1; -1 where unknown, which does not count.
        bins: bins of equal width on [0, 1].

    Raises:
        InputError: shapes that do not fit, rows that do not sum to one, labels out of bounds, or nothing to score.

    Source: Naeini, Cooper and Hauskrecht 2015 (ECE); Kull et al. 2019 (classwise); Brier 1950.
    """
    rows, target = _rows(probabilities, labels, bins)
    edges = np.linspace(0, 1, bins + 1)
    top = rows.argmax(-1)
    count, confidence, accuracy = _binned(rows.max(-1), top == target, edges)
    hits = np.eye(rows.shape[-1])[target]
    with np.errstate(divide="ignore"):
        log_score = float(np.log(rows[np.arange(len(rows)), target]).mean())
    return Reliability(
        ece=_error(count, confidence, accuracy),
        classwise_ece=float(np.mean([_error(*_binned(p, hit, edges)) for p, hit in zip(rows.T, hits.T, strict=True)])),
        brier=float(np.square(rows - hits).sum(-1).mean()),
        log_score=log_score,
        rows=len(rows),
        edges=edges,
        count=count,
        confidence=confidence,
        accuracy=accuracy,
    )


def _rows(probabilities: object, labels: object, bins: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Known rows and their labels."""
    if bins < 1:
        raise InputError(f"reliability: bins={bins} is not a positive number of bins; say bins=10")
    values, target = _array(probabilities).astype(np.float64), _array(labels).astype(np.int64)
    if values.shape[:-1] != target.shape:
        raise InputError(
            f"reliability: labels have shape {target.shape} and probabilities {values.shape}; wanted is one label for "
            f"each row {values.shape[:-1]} of regimes, the last axis: transpose (batch, regimes, time) first"
        )
    K = values.shape[-1]
    values, target = values.reshape(-1, K), target.reshape(-1)
    known = (target != MISSING) & ~np.isnan(values).any(-1)
    values, target = values[known], target[known]
    if len(values) == 0:
        raise InputError("reliability: no row has both probabilities and a label; at least one is needed")
    if (np.abs(values.sum(-1) - 1) > ROUNDING).any() or (values < 0).any():
        raise InputError(
            f"reliability: rows of {K} probabilities do not sum to one; regimes are the last axis, and logits need "
            "softmax(-1)"
        )
    if target.min() < 0 or target.max() >= K:
        raise InputError(f"reliability: labels run from {target.min()} to {target.max()}; regimes are 0 to {K - 1}")
    return values, target


def _array(values: object) -> NDArray[np.generic]:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _binned(
    probability: NDArray[np.float64], hit: NDArray[np.generic], edges: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Rows, mean probability and frequency by bin of probability."""
    place = np.searchsorted(edges[1:-1], probability, side="right")
    count = np.bincount(place, minlength=len(edges) - 1)
    some = np.where(count > 0, count, np.nan)
    mean = np.bincount(place, weights=probability, minlength=len(count)) / some
    return count, mean, np.bincount(place, weights=hit, minlength=len(count)) / some


def _error(count: NDArray[np.int64], mean: NDArray[np.float64], frequency: NDArray[np.float64]) -> float:
    return float(np.nansum(count * np.abs(frequency - mean)) / count.sum())
